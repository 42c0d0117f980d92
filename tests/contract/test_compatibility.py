"""Does today's code read everything that was ever published?

`test_ledger_events.py` beside this reads every event by the ledger's own reader, and
`test_schemas.py` holds every example against today's schemas.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from services.ledger import intake
from services.rewards import consumer, document
from services.rewards.application import Programmes
from services.rewards.store import Rulebook
from services.runtime.database import Database, open_database
from services.runtime.migrations import migrate
from services.runtime.projection import Envelope, Event
from services.runtime.stream import Record
from tests.support.contracts import EXAMPLES, EXAMPLES_DIR, example, is_on_intake, on_intake

PUBLISHED = {
    line[66:]: line[:64] for line in (EXAMPLES_DIR / "SHA256SUMS").read_text("ascii").splitlines()
}
# What logs, topics, shops and auditors still hold.
STAYS_FOR_EVER = ("commands/", "events/", "programme", "proof-bundle", "signed-")
EVENTS = [name for name in EXAMPLES if name.startswith("events/")]
BEFORE_IT_ALL = datetime(2016, 12, 30, tzinfo=UTC)
RULES = intake.Rules(is_accepted_currency=lambda _: True, clock=lambda: datetime.now(UTC))


def record(key: str, value: str) -> Record:
    return Record(
        partition=0, offset=0, key=key, value=value.encode(), headers=(), appended_at_ms=0
    )


def event(name: str) -> Event:
    envelope = msgspec.json.decode(EXAMPLES[name].encode(), type=Envelope)
    return Event(envelope, record(envelope.subject or "", EXAMPLES[name]))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(open_database(f"sqlite:///{tmp_path / 'rewards.db'}")) as opened:
        migrate(opened, "services.rewards")
        yield opened


def test_what_was_published_is_never_changed() -> None:
    found = {
        f"{name}.json": hashlib.sha256((EXAMPLES_DIR / f"{name}.json").read_bytes()).hexdigest()
        for name in EXAMPLES
        if name.startswith(STAYS_FOR_EVER)
    }

    changed = sorted(name for name in PUBLISHED if found.get(name) != PUBLISHED[name])

    assert changed == [], "put a new example beside it, and leave the old one as it was"
    assert sorted(found) == sorted(PUBLISHED), "contracts/README.md says how to add its sum"


@pytest.mark.parametrize("name", [name for name in EXAMPLES if is_on_intake(name)])
def test_ledger_reads_every_command(name: str) -> None:
    sent = on_intake(name)

    command = intake.read(record("1130", json.dumps(sent)), rules=RULES)

    assert (command.source, f"stampbook.{command.type}", command.id) == (
        sent["source"],
        sent["type"],
        sent["id"],
    )
    assert json.loads(command.content) == sent["data"]


@pytest.mark.parametrize("name", EVENTS)
def test_projectors_read_every_event(name: str) -> None:
    read = event(name)

    assert read.raw == EXAMPLES[name].encode()
    assert json.loads(bytes(read.envelope.data)) == example(name)["data"]


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("programme")])
def test_rewards_reads_every_programme(name: str) -> None:
    read = document.read(EXAMPLES[name].encode(), "application/json")

    assert json.loads(read.content) == example(name)


def test_rewards_answers_published_events_by_published_commands(database: Database) -> None:
    programmes = Programmes(database, lambda: BEFORE_IT_ALL)
    programmes.write_down("grocer", 1, EXAMPLES["programme"].encode(), "application/json")
    programmes.activate("grocer", 1)
    story = sorted(
        (event(name) for name in EVENTS if example(name)["source"] == "/ledger"),
        key=lambda each: each.envelope.position,
    )

    with database.write() as connection:
        asked = consumer.fold(connection, story, Rulebook())

    commands = [json.loads(message.value) for message in asked]
    assert commands[0] == example("commands/envelope.award")
    assert [command["data"] for command in commands] == [
        example("commands/award"),
        example("commands/take-back"),
        example("commands/award.claimed"),
    ]
