"""What proves to somebody outside that the log holds what we say, and that it has only grown."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from services.runtime import tree
from services.runtime.checkpoints import Checkpoint, cosigned, newest_note, signing_keys
from services.runtime.database import Connection
from services.runtime.merkle import HASH_BYTES, consistency, inclusion
from services.runtime.notes import Note

_EVENTS_AT = "SELECT position, event FROM events WHERE position IN :keys"
BUNDLE = "stampbook.proof-bundle.v1"


class BeyondTheTree(Exception):
    """A position or a size that the log has not reached, or that another one rules out."""

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(detail)
        self.parameter = parameter


class _Envelope(msgspec.Struct):
    position: int


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def checkpoint(connection: Connection) -> Note | None:
    """The newest checkpoint, with the lines of the witnesses who have signed just this one."""
    note = newest_note(connection)
    if note is None:
        return None
    same = [(witness, seen) for witness, seen in cosigned(connection) if seen.text == note.text]
    lines = [line for witness, seen in same for line in witness.of(seen)]
    return Note(note.text, (*note.signatures, *lines))


def keys(connection: Connection) -> list[dict[str, Any]]:
    """Every key that has signed checkpoints, as people compare it."""
    note = newest_note(connection)
    return [
        {
            "key": str(verifier),
            "first_size": first_size,
            "is_signing": note is not None and verifier.has_signed(note),
        }
        for verifier, first_size in signing_keys(connection)
    ]


def proof_of_inclusion(
    connection: Connection, position: int, size: int | None = None
) -> dict[str, Any]:
    """That the event at a position is in the tree of a size; left out: the newest checkpoint's.

    Raises:
        BeyondTheTree: there is no such event, or no such tree.
    """
    note = newest_note(connection)
    newest = _newest(connection, note)
    size = newest if size is None else size
    _check_reached(connection, "size", size)
    if position > size:
        raise BeyondTheTree("position", f"a tree of size {size} has no position {position}")
    hashes = tree.nodes(connection).hashes(inclusion(position - 1, size))
    found = {"position": position, "size": size, "hashes": _texts(hashes)}
    return found if note is None or size != newest else {**found, "checkpoint": str(note)}


def proof_of_consistency(
    connection: Connection, old: int, new: int | None = None
) -> dict[str, Any]:
    """That the log of size ``old`` begins that of ``new``; left out: the newest checkpoint's.

    Raises:
        BeyondTheTree: there are no such trees, or the second is the smaller one.
    """
    new = _newest(connection, newest_note(connection)) if new is None else new
    _check_reached(connection, "to", new)
    if old > new:
        raise BeyondTheTree("from", f"{old} is more than {new}")
    hashes = tree.nodes(connection).hashes(consistency(old, new))
    return {"from": old, "to": new, "hashes": _texts(hashes)}


def bundle(connection: Connection, events: Iterable[bytes]) -> dict[str, Any] | None:
    """Events with their proofs and the newest checkpoint; None: nothing was ever signed.

    Events after that checkpoint are left out.
    """
    note = newest_note(connection)
    if note is None:
        return None
    size = Checkpoint.parse(note.text).size
    nodes = tree.nodes(connection)
    placed = [(_decode_envelope(event).position, event) for event in events]
    proven = [
        {
            "position": position,
            "event": event.decode(),
            "hashes": _texts(nodes.hashes(inclusion(position - 1, size))),
        }
        for position, event in placed
        if position <= size
    ]
    return {"format": BUNDLE, "checkpoint": str(note), "events": proven}


def events_at(connection: Connection, positions: Sequence[int]) -> list[bytes]:
    """The events at these positions, in the order of the log."""
    return [bytes(event) for _, event in sorted(connection.pick(_EVENTS_AT, positions))]


def tile(connection: Connection, level: int, number: int, width: int) -> bytes | None:
    """So many hashes of a tile; None: the tree has not come that far."""
    hashes = tree.fetch(connection, [(level, number)]).get((level, number), b"")
    width_bytes = width * HASH_BYTES
    return hashes[:width_bytes] if len(hashes) >= width_bytes else None


def _newest(connection: Connection, note: Note | None) -> int:
    return tree.size_of(connection) if note is None else Checkpoint.parse(note.text).size


def _check_reached(connection: Connection, parameter: str, size: int) -> None:
    events = tree.size_of(connection)
    if size > events:
        raise BeyondTheTree(parameter, f"the log has {events} events")


def _texts(hashes: Iterable[bytes]) -> list[str]:
    return [b64encode(each).decode() for each in hashes]
