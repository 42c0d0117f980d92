"""The published bundle is a real one: the log that it is from holds published events."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec
import pytest

from services.ledger.signing import FORMAT
from services.ledger.views.proofs import BUNDLE
from services.runtime.checkpoints import Checkpoint
from services.runtime.notes import Signer, signed
from tests.support import rfc6962
from tests.support.contracts import EXAMPLES, SCHEMAS, example
from tests.support.offline import offline

SIGNER = Signer("stampbook.localhost/ledger", bytes(32))
STORY = ("purchase.recorded.v1", "points.earned.v1", "purchase.recorded.v1.stranger")


def published(*indices: int) -> dict[str, Any]:
    """Who keeps some events of a log of three."""
    log = [msgspec.json.encode(example(f"events/{name}")) for name in STORY]
    checkpoint = Checkpoint(SIGNER.name, len(log), rfc6962.tree_hash(log))
    proven = [
        {
            "position": index + 1,
            "event": log[index].decode(),
            "hashes": [b64encode(each).decode() for each in rfc6962.path(index, log)],
        }
        for index in indices
    ]
    note = str(signed(checkpoint.text, [SIGNER]))
    return {"format": BUNDLE, "checkpoint": note, "events": proven}


def statement() -> dict[str, Any]:
    """The member's January, in which the second event is the only entry."""
    earned = example("events/points.earned.v1")
    entry = {
        "id": earned["id"],
        "position": earned["position"],
        "type": "points.earned",
        "at": earned["time"],
        "known_at": earned["recordedat"],
        "merchant": earned["merchant"],
        "change": earned["data"]["points"],
        **{name: earned["data"][name] for name in ("unit", "points", "purchase", "lot")},
        "expires_at": earned["data"]["expires_at"],
    }
    points = entry["points"]
    unit = {
        "unit": entry["unit"],
        "opening": 0,
        "entries": [entry],
        "change": points,
        "lapsed": 0,
        "closing": points,
        "ends_next": [{"points": points, "expires_at": entry["expires_at"]}],
    }
    return {
        "member": earned["subject"],
        "month": "2017-01",
        "time_zone": "America/New_York",
        "begins_at": "2017-01-01T00:00:00-05:00",
        "ends_at": "2017-02-01T00:00:00-05:00",
        "is_over": True,
        "known_at": "2017-02-01T05:00:00Z",
        "units": [unit],
    }


DOCUMENTS = {
    "proof-bundle": published(0, 1),
    "signed-statement": {
        "format": FORMAT.format(kind="statement"),
        "statement": statement(),
        "proof": published(1),
    },
    "signed-settlement": {
        "format": FORMAT.format(kind="settlement"),
        "settlement": example("answers/settlements"),
        "proof": published(),
    },
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_published_is_this(name: str) -> None:
    document = DOCUMENTS[name]

    assert EXAMPLES[name].encode() == msgspec.json.encode(document, order="sorted")
    assert SCHEMAS[name]["properties"]["format"] == {"const": document["format"]}


def test_the_offline_verifier_takes_the_published_statement() -> None:
    signer = Signer(f"{SIGNER.name}/documents", bytes([1]) * 32)
    keys = [offline().read_key(str(each.verifier)) for each in (SIGNER, signer)]
    note = str(signed(EXAMPLES["signed-statement"] + "\n", [signer]))

    checkpoint, events = offline().check_document(note.encode(), keys)

    assert (checkpoint.size, len(events)) == (3, 1)


def test_the_offline_verifier_takes_the_published_bundle() -> None:
    key = offline().read_key(str(SIGNER.verifier))

    checkpoint, events = offline().check_bundle(EXAMPLES["proof-bundle"].encode(), [key])

    assert checkpoint.size == 3
    assert events == [example(f"events/{name}") for name in STORY[:2]]
