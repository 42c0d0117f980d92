"""The published bundle is a real one: the log that it is from holds published events."""

from __future__ import annotations

from base64 import b64encode

import msgspec

from services.ledger.views.proofs import BUNDLE
from services.runtime.checkpoints import Checkpoint
from services.runtime.notes import Signer, signed
from tests.support import rfc6962
from tests.support.contracts import EXAMPLES, SCHEMAS, example
from tests.support.offline import offline

SIGNER = Signer("stampbook.localhost/ledger", bytes(32))
STORY = ("purchase.recorded.v1", "points.earned.v1", "purchase.recorded.v1.stranger")


def published() -> bytes:
    """A merchant keeps the first two events of a log of three."""
    log = [msgspec.json.encode(example(f"events/{name}")) for name in STORY]
    checkpoint = Checkpoint(SIGNER.name, len(log), rfc6962.tree_hash(log))
    proven = [
        {
            "position": index + 1,
            "event": log[index].decode(),
            "hashes": [b64encode(each).decode() for each in rfc6962.path(index, log)],
        }
        for index in (0, 1)
    ]
    note = str(signed(checkpoint.text, [SIGNER]))
    bundle = {"format": BUNDLE, "checkpoint": note, "events": proven}
    return msgspec.json.encode(bundle, order="sorted")


def test_the_published_bundle_is_this_one() -> None:
    assert EXAMPLES["proof-bundle"].encode() == published()
    assert SCHEMAS["proof-bundle"]["properties"]["format"] == {"const": BUNDLE}


def test_the_offline_verifier_takes_the_published_bundle() -> None:
    key = offline().read_key(str(SIGNER.verifier))

    checkpoint, events = offline().check_bundle(EXAMPLES["proof-bundle"].encode(), [key])

    assert checkpoint.size == 3
    assert events == [example(f"events/{name}") for name in STORY[:2]]
