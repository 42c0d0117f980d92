"""What the log proves over HTTP, and that the offline verifier takes it, and nothing else."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.ledger.signing import Seals
from services.runtime.auth import Role
from services.runtime.checkpoints import Checkpoint, Notary
from services.runtime.clock import rfc3339
from services.runtime.contracts import Contract
from services.runtime.database import Database
from services.runtime.notes import Note, Signature, Signer, Verifier, signed
from tests.support import rfc6962
from tests.support.asyncs import soon
from tests.support.ledger import Door, Ledger, answered, idle, refused
from tests.support.offline import offline

ORIGIN = "log.example/ledger"
SIGNER, LATER = Signer(ORIGIN, bytes(32)), Signer(ORIGIN, bytes([1]) * 32)
WITNESS_KEY = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
DOCUMENTS = Signer(f"{ORIGIN}/documents", bytes([9]) * 32)
WITNESS = Verifier("witness.example/w1", 4, WITNESS_KEY.public_key().public_bytes_raw())
KEYS = [offline().read_key(str(key)) for key in (SIGNER.verifier, LATER.verifier)]
SEALS = Seals(signers=[DOCUMENTS], witnesses=[WITNESS])
Rejected: type[Exception] = offline().Rejected
NO_PROOF: list[tuple[str, dict[str, Any], str, str]] = [
    ("/proofs/inclusion", {}, "position", "missing"),
    ("/proofs/inclusion", {"position": 0}, "position", "out-of-range"),
    ("/proofs/inclusion", {"position": "one"}, "position", "malformed"),
    ("/proofs/inclusion", {"position": 3}, "position", "out-of-range"),
    ("/proofs/inclusion", {"position": 1, "size": 3}, "size", "out-of-range"),
    ("/proofs/consistency", {}, "from", "missing"),
    ("/proofs/consistency", {"from": 3}, "from", "out-of-range"),
    ("/proofs/consistency", {"from": 1, "to": 3}, "to", "out-of-range"),
    ("/proofs/consistency", {"from": 2, "to": 1}, "from", "out-of-range"),
    ("/proofs/events", {"limit": 1_001}, "limit", "out-of-range"),
    ("/tile/7/000", {}, "level", "out-of-range"),
    ("/tile/0/0", {}, "number", "malformed"),
    ("/tile/0/000.p/0", {}, "number", "malformed"),
    ("/tile/0/000.p/256", {}, "number", "malformed"),
    ("/tile/0/000.p/1", {"width": 1}, "width", "unknown-parameter"),
]


@pytest.fixture
def ledger(database: Database, tmp_path: Path) -> Iterator[Ledger]:
    """One whose checkpoints are signed, and that knows a witness."""
    signing = idle(database, tmp_path, notary=Notary([SIGNER]), seals=SEALS)
    with signing as ledger, ledger.deciding():
        yield ledger


async def recorded(door: Door, count: int, prefix: str = "p") -> list[bytes]:
    """Buy a few times; the events of the whole log as they were written."""
    for number in range(count):
        await door.buy(f"{prefix}-{number}", lines=[line(number)])
    response = await door.http.get("/v1/events", headers={"Accept": "application/x-ndjson"})
    return response.content.splitlines()


def line(number: int) -> dict[str, Any]:
    """Every purchase is another; one has a name in another script."""
    return {"line": "1", "sku": f"crème №{number}", "quantity": 1, "amount_minor": 100 + number}


async def file(door: Door, path: str, **params: str | int) -> bytes:
    response = await door.http.get(f"/v1{path}", params=params)
    assert response.status_code == 200, response.text
    return response.content


async def note(door: Door, **params: str) -> Note:
    return Note.parse((await file(door, "/checkpoint", **params)).decode())


def cosigned(
    note: Note, *, key: Ed25519PrivateKey = WITNESS_KEY, seconds: int = 1_700_000_000
) -> str:
    """The note, after the witness has signed it."""
    message = b"cosignature/v1\ntime %d\n" % seconds + note.text.encode()
    content = seconds.to_bytes(8) + key.sign(message)
    return str(
        Note(note.text, (*note.signatures, Signature(WITNESS.name, WITNESS.key_id, content)))
    )


async def send(door: Door, written: str) -> httpx.Response:
    return await door.http.post(
        "/v1/checkpoint/cosignatures",
        content=written.encode(),
        headers={"Content-Type": "text/plain"},
    )


async def test_the_newest_checkpoint_is_over_every_event(ledger: Ledger) -> None:
    door = ledger.door()
    events = await recorded(door, 3)

    response = await door.http.get("/v1/checkpoint")

    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    signed = Note.parse(response.text)
    assert SIGNER.verifier.has_signed(signed)
    assert Checkpoint.parse(signed.text) == Checkpoint(ORIGIN, 3, rfc6962.tree_hash(events))


async def test_proofs_are_those_of_the_rfc(ledger: Ledger) -> None:
    door = ledger.door()
    events = await recorded(door, 7)

    newest = answered(
        await door.http.get("/v1/proofs/inclusion", params={"position": 5}),
        "answers/inclusion-proof",
    )
    older = await door.get("/proofs/inclusion", position=2, size=5)
    growth = answered(
        await door.http.get("/v1/proofs/consistency", params={"from": 3}),
        "answers/consistency-proof",
    )

    assert (newest["position"], newest["size"]) == (5, 7)
    assert newest["checkpoint"] == str(await note(door))
    assert [b64decode(each) for each in newest["hashes"]] == rfc6962.path(4, events)
    assert "checkpoint" not in older
    assert [b64decode(each) for each in older["hashes"]] == rfc6962.path(1, events[:5])
    assert (growth["from"], growth["to"]) == (3, 7)
    assert [b64decode(each) for each in growth["hashes"]] == rfc6962.proof(3, events)


async def test_what_there_is_no_proof_of_is_refused(ledger: Ledger) -> None:
    door = ledger.door()
    await recorded(door, 2)

    for path, params, parameter, code in NO_PROOF:
        answer = await door.http.get(f"/v1{path}", params=params)
        found = refused(answer, 422, "invalid-parameter")
        blamed = [(each["parameter"], each["code"]) for each in found["errors"]]
        assert blamed == [(parameter, code)], path


async def test_every_key_reads_proofs_but_nobody_without_one(ledger: Ledger) -> None:
    await recorded(ledger.door(), 2)
    paths = ("/checkpoint", "/checkpoint/keys", "/proofs/inclusion?position=1", "/tile/0/000.p/2")

    for role in (Role.AUDITOR, Role.TILL):
        door = ledger.door_of(role, "baker" if role is Role.TILL else None)
        for path in paths:
            assert (await door.http.get(f"/v1{path}")).status_code == 200
    for path in paths:
        refused(
            await ledger.door().http.get(f"/v1{path}", headers={"Authorization": ""}),
            401,
            "key-missing",
        )


async def test_tiles_hold_the_hashes_of_events(ledger: Ledger) -> None:
    door = ledger.door()
    events = await recorded(door, 3)

    response = await door.http.get("/v1/tile/0/000.p/2")

    assert response.headers["content-type"] == "application/octet-stream"
    assert "immutable" in response.headers["cache-control"]
    assert response.content == b"".join(rfc6962.tree_hash([each]) for each in events[:2])
    for beyond in ("0/000", "0/000.p/4", "1/000.p/1", "0/x001/x234/067"):
        refused(await door.http.get(f"/v1/tile/{beyond}"), 404, "no-tile")


async def test_a_bundle_holds_what_one_may_see(ledger: Ledger) -> None:
    await recorded(ledger.door(), 2)
    await recorded(ledger.door("baker"), 2, "b")

    whole = answered(await ledger.door().http.get("/v1/proofs/events"), "proof-bundle")
    own = await file(ledger.door_of(Role.MERCHANT, "baker"), "/proofs/events")
    some = await ledger.door().http.get("/v1/proofs/events", params={"after": 1, "limit": 2})

    assert [each["position"] for each in whole["events"]] == [1, 2, 3, 4]
    _, events = offline().check_bundle(own, KEYS)
    assert [(event["position"], event["merchant"]) for event in events] == [
        (3, "baker"),
        (4, "baker"),
    ]
    assert [each["position"] for each in some.json()["events"]] == [2, 3]
    assert some.headers["stampbook-next"] == "3"


async def yesterday_and_today(ledger: Ledger) -> tuple[bytes, bytes, bytes]:
    """A bundle, a checkpoint of later, and what proves that nothing but growth lies between."""
    door = ledger.door()
    await recorded(door, 5)
    yesterday = await file(door, "/proofs/events", after=2)
    await recorded(door, 4, "q")
    today = await file(door, "/checkpoint")
    return yesterday, today, await file(door, "/proofs/consistency", **{"from": 5, "to": 9})


def check(*files: bytes) -> int:
    """As the script does it; how many events were proven."""
    yesterday, today, growth = files
    old, events = offline().check_bundle(yesterday, KEYS)
    try:
        later = today.decode()
    except UnicodeDecodeError as error:
        raise Rejected from error
    offline().check_growth(old, offline().read_checkpoint(later, KEYS), growth)
    return len(events)


async def test_what_was_exported_yesterday_holds_today_until_a_byte_is_changed(
    ledger: Ledger,
) -> None:
    files = await yesterday_and_today(ledger)

    assert check(*files) == 3
    for which, content in enumerate(files):
        for place in range(len(content)):
            for flip in (0x01, 0x20, 0xFF):
                changed = bytearray(content)
                changed[place] ^= flip
                with pytest.raises(Rejected):
                    check(*(bytes(changed) if n == which else f for n, f in enumerate(files)))
                    pytest.fail(f"file {which}, byte {place} ^ {flip:#x}")


async def test_a_bundle_is_written_in_one_way_only(ledger: Ledger) -> None:
    await recorded(ledger.door(), 2)
    bundle = await file(ledger.door(), "/proofs/events")

    for changed in (
        bundle[:-1],
        bundle + b"\n",
        b" " + bundle,
        json.dumps(json.loads(bundle)).encode(),
        bundle.replace(b'"format"', b'"extra":1,"format"'),
        bundle.replace(b"\xc3\xa8", b"\\u00e8"),
        bundle.replace(b'"position":1,', b'"position":1.0,').replace(b'"position":1}', b""),
        bundle.replace(b"bundle.v1", b"bundle.v2"),
    ):
        assert changed != bundle
        with pytest.raises(Rejected):
            offline().check_bundle(changed, KEYS)


async def test_another_ones_key_does_not_do(ledger: Ledger) -> None:
    await recorded(ledger.door(), 1)
    bundle = await file(ledger.door(), "/proofs/events")

    with pytest.raises(Rejected, match="not named"):
        offline().check_bundle(bundle, KEYS[1:])


async def test_a_witness_signs_and_stands_below(ledger: Ledger) -> None:
    door = ledger.door_of(Role.AUDITOR, None)
    await recorded(ledger.door(), 2)
    ours = await note(door)

    kept = await send(door, cosigned(ours))

    assert kept.status_code == 204
    theirs = await note(door)
    assert WITNESS.has_signed(theirs)
    assert SIGNER.verifier.has_signed(theirs)
    offline().read_checkpoint(str(theirs), [*KEYS, offline().read_key(str(WITNESS))])
    await recorded(ledger.door(), 1, "later")
    assert not WITNESS.has_signed(await note(door))
    assert await note(door, witness=WITNESS.name) == theirs


async def test_an_older_signature_does_not_replace_a_newer_one(ledger: Ledger) -> None:
    door = ledger.door()
    await recorded(door, 1)
    older = cosigned(await note(door))
    await recorded(door, 1, "q")
    newer = cosigned(await note(door))

    assert [(await send(door, each)).status_code for each in (newer, older)] == [204, 204]

    assert str(await note(door, witness=WITNESS.name)) == newer


async def test_only_good_signatures_on_our_checkpoints_are_kept(ledger: Ledger) -> None:
    door = ledger.door()
    await recorded(door, 2)
    ours = await note(door)
    other = Checkpoint(ORIGIN, 1, bytes(32)).text

    refused(await send(door, "hello"), 400, "not-a-note")
    refused(await send(door, str(ours)), 403, "witness-unknown")
    stranger = Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32)
    refused(await send(door, cosigned(ours, key=stranger)), 422, "bad-signature")
    unsigned = Note(ours.text, (LATER.sign(ours.text),))
    refused(await send(door, cosigned(unsigned)), 409, "other-checkpoint")
    fork = Note(other, (SIGNER.sign(other),))  # our key, over another history
    refused(await send(door, cosigned(fork)), 409, "other-checkpoint")
    refused(
        await door.http.get("/v1/checkpoint", params={"witness": WITNESS.name}),
        404,
        "no-checkpoint",
    )


async def test_keys_that_signed_are_told(ledger: Ledger) -> None:
    await recorded(ledger.door(), 1)

    found = answered(await ledger.door().http.get("/v1/checkpoint/keys"), "answers/signing-keys")

    assert found["items"] == [{"key": str(SIGNER.verifier), "first_size": 0, "is_signing": True}]
    assert found["documents"] == [str(DOCUMENTS.verifier)]


async def test_without_a_key_there_are_proofs_and_no_checkpoint(
    database: Database, tmp_path: Path
) -> None:
    with idle(database, tmp_path) as ledger, ledger.deciding():
        door = ledger.door()
        events = await recorded(door, 3)

        proof = await door.get("/proofs/inclusion", position=1)

        assert [b64decode(each) for each in proof["hashes"]] == rfc6962.path(0, events)
        for path in ("/checkpoint", "/proofs/events"):
            refused(await door.http.get(f"/v1{path}"), 404, "no-checkpoint")


async def a_statement(ledger: Ledger, month: str) -> bytes:
    """Of a member who has bought, earned and spent."""
    door = ledger.door()
    await recorded(door, 2)
    ledger.award(100, purchase="p-0", earned_at=f"{month}-01T00:00:00Z")
    await soon(
        lambda: door.http.get("/v1/members/1130/balances"),
        lambda answer: answer.is_success and answer.json()["balances"] != [],
    )
    await door.redeem("s-1", 30)
    return await file(door, f"/members/1130/statements/{month}/signed")


async def test_a_statement_of_yesterday_holds_today_until_a_byte_is_changed(
    ledger: Ledger,
) -> None:
    month = rfc3339(ledger.clock())[:7]
    kept = await a_statement(ledger, month)
    keys = [*KEYS, offline().read_key(str(DOCUMENTS.verifier))]
    size = offline().check_document(kept, keys)[0].size
    await recorded(ledger.door(), 2, "later")
    today = await file(ledger.door(), "/checkpoint")
    growth = await file(ledger.door(), "/proofs/consistency", **{"from": size})

    old, events = offline().check_document(kept, keys)

    offline().check_growth(old, offline().read_checkpoint(today.decode(), keys), growth)
    line = json.loads(kept.partition(b"\n")[0])
    assert Contract.of("signed-statement").errors(line) == []
    assert [event["position"] for event in events] == [
        entry["position"] for entry in line["statement"]["units"][0]["entries"]
    ]
    assert line["statement"]["units"][0]["closing"] == 70
    for place in range(len(kept)):
        changed = bytearray(kept)
        changed[place] ^= 1 << place % 8
        with pytest.raises((Rejected, UnicodeDecodeError)):
            offline().check_document(bytes(changed), keys)
            pytest.fail(f"byte {place}")


async def test_a_signed_statement_has_to_agree_with_the_events(ledger: Ledger) -> None:
    month = rfc3339(ledger.clock())[:7]
    kept = await a_statement(ledger, month)
    keys = [*KEYS, offline().read_key(str(DOCUMENTS.verifier))]

    for before, after in (
        (b'"change":100', b'"change":900'),
        (b'"closing":70', b'"closing":71'),
        (b'"points":30', b'"points":31'),
        (b'"member":"1130"', b'"member":"1131"'),
        (b'"merchant":"grocer"', b'"merchant":"baker"'),
    ):
        text = kept.partition(b"\n\n")[0].replace(before, after, 1) + b"\n"
        assert text[:-1] not in kept
        resigned = str(signed(text.decode(), [DOCUMENTS])).encode()
        with pytest.raises(Rejected):
            offline().check_document(resigned, keys)
    line = json.loads(kept.partition(b"\n")[0])
    line["statement"]["units"] = []
    shorter = msgspec.json.encode(line, order="sorted").decode() + "\n"
    with pytest.raises(Rejected, match="does not show"):
        offline().check_document(str(signed(shorter, [DOCUMENTS])).encode(), keys)
    same = kept.partition(b"\n\n")[0].decode() + "\n"
    with pytest.raises(Rejected, match="is signed by"):
        offline().check_document(str(signed(same, [SIGNER])).encode(), keys)


async def test_a_settlement_is_signed_with_the_checkpoint_beside_it(ledger: Ledger) -> None:
    await recorded(ledger.door(), 1)
    month = rfc3339(ledger.clock())[:7]
    keys = [*KEYS, offline().read_key(str(DOCUMENTS.verifier))]

    kept = await file(ledger.door(), f"/settlements/{month}/signed")

    checkpoint, events = offline().check_document(kept, keys)
    line = json.loads(kept.partition(b"\n")[0])
    assert Contract.of("signed-settlement").errors(line) == []
    assert (checkpoint.size, events) == (1, [])
    assert line["settlement"]["month"] == month


async def test_without_a_key_for_documents_none_is_signed(
    database: Database, tmp_path: Path
) -> None:
    with idle(database, tmp_path, notary=Notary([SIGNER])) as ledger, ledger.deciding():
        await recorded(ledger.door(), 1)
        month = rfc3339(ledger.clock())[:7]

        for path in (f"members/1130/statements/{month}", f"settlements/{month}"):
            refused(await ledger.door().http.get(f"/v1/{path}/signed"), 404, "not-signed")
