"""The auditor's reading finds every change of the tree, and of what was signed."""

from __future__ import annotations

import hashlib

import pytest

from services.ledger.verify import Verdict, verify
from services.runtime import tree
from services.runtime.checkpoints import Checkpoint, Notary, keep_cosigned, newest_note
from services.runtime.database import Database
from services.runtime.eventlog import EventLog
from services.runtime.merkle import Edge
from services.runtime.notes import Note, Signature, Signer, Verifier, signed
from tests.support.desk import Desk

SIGNER = Signer("log.example/ledger", bytes(32))
STRANGER = Signer("log.example/ledger", bytes([1]) * 32)
WITNESS = Signer("witness.example/w1", bytes([2]) * 32)


@pytest.fixture
def desk(database: Database) -> Desk:
    """Three events, in two batches."""
    desk = Desk(database, notary=Notary([SIGNER]))
    desk.send(desk.purchase("p-1"), desk.award(100))
    desk.send(desk.purchase("p-2"))
    return desk


def verdict(database: Database) -> Verdict:
    return verify(database, progress=lambda *_: None)


def found(database: Database) -> tuple[bool, int | None, str | None]:
    found = verdict(database)
    return found.ok, found.position, found.fault


def change(database: Database, sql: str, **params: object) -> None:
    with database.write() as connection:
        assert connection.execute(sql, params) == 1


def tile(database: Database) -> bytearray:
    with database.read() as connection:
        return bytearray(tree.fetch(connection, [(0, 0)])[0, 0])


def replace_note(database: Database, note: str, size: int = 3) -> None:
    change(database, "UPDATE checkpoints SET note = :note, size = :size", note=note, size=size)


def note_of(database: Database) -> Note:
    with database.read() as connection:
        note = newest_note(connection)
    assert note is not None
    return note


def test_a_signed_log_passes(desk: Desk) -> None:
    assert verdict(desk.database) == Verdict(ok=True, events=3)


def test_any_changed_byte_of_a_tile_is_found(desk: Desk) -> None:
    kept = tile(desk.database)

    for byte in range(96):
        changed = bytearray(kept)
        changed[byte] ^= 1
        change(desk.database, "UPDATE tiles SET hashes = :hashes", hashes=bytes(changed))
        assert found(desk.database) == (False, byte // 32 + 1, "hash")


def test_full_tiles_and_those_above_are_checked(desk: Desk) -> None:
    desk.send(*(desk.purchase(f"q-{number}") for number in range(600)))
    assert verdict(desk.database).ok
    sql = "UPDATE tiles SET hashes = :hashes WHERE level = :level AND tile = :number"

    for level, number, place, position in ((0, 1, 5, 262), (0, 2, 0, 513), (1, 0, 1, 257)):
        with desk.database.read() as connection:
            kept = tree.fetch(connection, [(level, number)])[level, number]
        spoilt = kept[: place * 32] + bytes(32) + kept[place * 32 + 32 :]
        at = {"level": level, "number": number}
        change(desk.database, sql, hashes=spoilt, **at)
        assert found(desk.database) == (False, position, "hash")
        change(desk.database, sql, hashes=kept, **at)


@pytest.mark.parametrize(
    ("sql", "position", "fault"),
    [
        ("DELETE FROM tiles", 1, "hash"),
        ("UPDATE tiles SET hashes = substr(hashes, 1, 64)", 3, "hash"),
        ("INSERT INTO tiles SELECT 1, 0, hashes FROM tiles", 4, "hash"),
        ("DELETE FROM checkpoints", 3, "signature"),
        ("DELETE FROM signing_keys", 3, "signature"),
        ("UPDATE checkpoints SET note = 'hello'", 3, "signature"),
        ("UPDATE checkpoints SET note = replace(note, 'log.', 'my.')", 3, "signature"),
    ],
)
def test_what_is_missing_or_too_much_is_found(
    desk: Desk, sql: str, position: int, fault: str
) -> None:
    change(desk.database, sql)

    assert found(desk.database) == (False, position, fault)


def test_any_changed_character_of_the_checkpoint_is_found(desk: Desk) -> None:
    note = str(note_of(desk.database))

    for place, character in enumerate(note):
        changed = "A" if character != "A" else "B"
        replace_note(desk.database, note[:place] + changed + note[place + 1 :])
        assert found(desk.database)[2] == "signature", place


def test_a_log_that_was_rewritten_from_end_to_end_is_found_by_what_was_signed(desk: Desk) -> None:
    before = note_of(desk.database)
    _rewrite(desk.database)

    wrong = verdict(desk.database)

    assert (wrong.ok, wrong.position, wrong.fault) == (False, 3, "signature")
    text = Checkpoint.parse(before.text)
    forged = Checkpoint(text.origin, 3, _root(desk.database)).text
    replace_note(desk.database, str(signed(forged, [STRANGER])))
    assert found(desk.database) == (False, 3, "signature")
    replace_note(desk.database, str(signed(forged, [SIGNER])))
    assert verdict(desk.database).ok  # who has the key can do anything: that is what witnesses see


def _rewrite(database: Database) -> None:
    """Change one amount, and every hash that follows from it."""
    with database.write() as connection:
        rows = connection.rows("SELECT position, event FROM events ORDER BY position")
        chain, events = b"", [bytes(event).replace(b"5000", b"9000") for _, event in rows]
        for position, event in enumerate(events, 1):
            chain = hashlib.sha256(chain + event).digest()
            connection.execute(
                "UPDATE events SET event = :event, chain = :chain WHERE position = :position",
                {"event": event, "chain": chain, "position": position},
            )
        connection.execute("UPDATE log_head SET chain = :chain", {"chain": chain})
        EventLog(database).tree.grow(connection, Edge(), events)


def _root(database: Database) -> bytes:
    with database.read() as connection:
        return tree.load_edge(connection, 3).root


def test_a_shortened_log_is_found_by_what_was_signed(desk: Desk) -> None:
    text = Checkpoint(SIGNER.name, 4, bytes(32)).text
    replace_note(desk.database, str(signed(text, [SIGNER])), 4)

    assert found(desk.database) == (False, 4, "gap")


def test_events_that_nobody_has_signed_are_found(desk: Desk) -> None:
    silent = Desk(desk.database, name="writer-1")
    silent.send(silent.purchase("p-3"), silent.purchase("p-4"))

    assert found(desk.database) == (False, 4, "signature")


@pytest.mark.parametrize(("root", "fault"), [("right", None), ("wrong", "signature")])
def test_what_a_witness_signed_has_to_be_this_log(desk: Desk, root: str, fault: str | None) -> None:
    witness = Verifier(WITNESS.name, 4, WITNESS.verifier.key)
    seen = _root(desk.database) if root == "right" else bytes(32)
    text = Checkpoint(SIGNER.name, 3, seen).text
    signature = WITNESS.sign(f"cosignature/v1\ntime 7\n{text}").content
    line = Signature(witness.name, witness.key_id, (7).to_bytes(8) + signature)
    with desk.database.write() as connection:
        keep_cosigned(connection, witness, 3, Note(text, (line,)))

    assert found(desk.database)[2] == fault
