"""The ledger's readers and writers against every event ever published."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from services.ledger import history, wire
from services.runtime.clock import rfc3339
from services.runtime.contracts import CONTRACTS_DIR, Contract

PUBLISHED = sorted(
    path
    for path in (CONTRACTS_DIR / "examples" / "events").glob("*.json")
    if msgspec.json.decode(path.read_bytes())["source"] == wire.SOURCE
)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.name)
def test_reads_what_was_ever_published_and_writes_it_the_same(path: Path) -> None:
    example = msgspec.json.decode(path.read_bytes())

    recorded = history.decode(path.read_bytes())
    occurred_at, raw = wire.encode(
        recorded.event,
        wire.Story(
            merchant=recorded.merchant,
            member=recorded.member,
            purchase=example["data"].get("purchase"),
            traceparent=example.get("traceparent"),
        ),
        wire.Place(
            shard=example["shard"],
            position=recorded.position,
            event_id=UUID(recorded.event_id).bytes,
            recorded_at=example["recordedat"],
        ),
    )

    assert rfc3339(occurred_at) == example["time"]
    assert msgspec.json.decode(raw) == example
    name = example["type"].removeprefix("stampbook.")
    assert Contract.of(f"events/{name}").errors(msgspec.json.decode(raw)) == []


def test_every_event_of_the_ledger_has_been_published() -> None:
    published = {wire.type_of(history.decode(path.read_bytes()).event) for path in PUBLISHED}

    assert published == {f"stampbook.{name}.v1" for name in wire.NAMES.values()}
