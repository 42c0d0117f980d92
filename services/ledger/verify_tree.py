"""The auditor's reading of the tree: grown again from the events, and compared with what is kept.

Whoever changes an event and everything that is derived from it still lacks the key: the signed
checkpoint holds the root that the log had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.runtime import tree
from services.runtime.checkpoints import Checkpoint, cosigned, newest_note, signing_keys
from services.runtime.database import Connection
from services.runtime.merkle import (
    HASH_BYTES,
    TILE_BYTES,
    TILE_WIDTH,
    Edge,
    Tile,
    edge_tiles,
    grown,
    leaf_hash,
    tile_count,
)
from services.runtime.notes import Malformed, Note, Verifier


class Untrue(Exception):
    """The tree, or who signed it, is not what the events give; ``position`` is the first."""

    def __init__(self, position: int, fault: str, detail: str) -> None:
        super().__init__(detail)
        self.position = position
        self.fault = fault


class TreeReading:
    """Follows the log from its beginning; what it remembers is the tree's right edge."""

    def __init__(self) -> None:
        self._edge = Edge()

    def follow(self, connection: Connection, events: Sequence[bytes]) -> None:
        """Add the next events; tiles that they fill are compared.

        Raises:
            Untrue: a hash is kept that is not theirs.
        """
        self._edge, changed = grown(self._edge, [leaf_hash(event) for event in events])
        full = {tile: hashes for tile, hashes in changed.items() if len(hashes) == TILE_BYTES}
        _compare(connection, full)

    def check(self, connection: Connection) -> None:
        """At the end of the log: the tiles at the edge, and what was signed.

        Raises:
            Untrue: something of it does not hold.
        """
        size = self._edge.size
        open_tiles = edge_tiles(size)
        _compare(connection, {tile: self._edge.parts[tile[0]] for tile in open_tiles})
        [(kept,)] = connection.rows("SELECT count(*) FROM tiles")
        if kept != tile_count(size):
            detail = f"{kept} tiles are kept, the log gives {tile_count(size)}"
            raise Untrue(size + 1, "hash", detail)
        self._check_checkpoint(connection)
        self._check_cosigned(connection)

    def _check_checkpoint(self, connection: Connection) -> None:
        size, root = self._edge.size, self._edge.root
        try:
            keys = [verifier for verifier, _ in signing_keys(connection)]
            note = newest_note(connection)
            if note is None and not keys:
                return  # nobody signs this log
            checkpoint = _checked(note, keys)
        except Malformed as error:
            raise Untrue(size, "signature", str(error)) from None
        if checkpoint.size > size:
            detail = f"{checkpoint.size} events are signed, the log has {size}"
            raise Untrue(size + 1, "gap", detail)
        if checkpoint.size < size:
            detail = f"only the first {checkpoint.size} events are signed"
            raise Untrue(checkpoint.size + 1, "signature", detail)
        if checkpoint.root != root:
            raise Untrue(size, "signature", "what is signed is not what the log holds now")

    def _check_cosigned(self, connection: Connection) -> None:
        """What witnesses have signed was this log, as it was when they looked."""
        size = self._edge.size
        try:
            for witness, note in cosigned(connection):
                seen = Checkpoint.parse(note.text)
                is_ours = seen.root == tree.root_at(connection, seen.size)
                if not (witness.has_signed(note) and is_ours):
                    detail = f"{witness.name} has signed another log"
                    raise Untrue(min(seen.size, size), "signature", detail)
        except Malformed as error:
            raise Untrue(size, "signature", f"of a witness: {error}") from None


def _compare(connection: Connection, expected: Mapping[Tile, bytes]) -> None:
    kept = tree.fetch(connection, list(expected))
    wrong = [
        _first_position(tile, hashes, kept.get(tile, b""))
        for tile, hashes in expected.items()
        if hashes != kept.get(tile)
    ]
    if wrong:
        position, detail = min(wrong)
        raise Untrue(position, "hash", detail)


def _first_position(tile: Tile, hashes: bytes, kept: bytes) -> tuple[int, str]:
    """Where the first event lies whose hash, or that of its subtree, is another."""
    places = range(0, max(len(hashes), len(kept)), HASH_BYTES)
    ends = [(at, at + HASH_BYTES) for at in places]
    at = next(at for at, end in ends if hashes[at:end] != kept[at:end])
    level, number = tile
    nodes = number * TILE_WIDTH + at // HASH_BYTES
    what = "holds another hash" if kept else "is missing"
    return nodes * TILE_WIDTH**level + 1, f"tile {level}/{number} of the tree {what}"


def _checked(note: Note | None, keys: Sequence[Verifier]) -> Checkpoint:
    """The checkpoint, if every line below it is by one of the log's keys, and good."""
    if note is None:
        raise Malformed("there are keys that have signed, but no checkpoint")
    good = [line for key in keys if key.has_signed(note) for line in key.of(note)]
    if not good or set(good) != set(note.signatures):
        raise Malformed("the checkpoint's signature is not by a key of the log")
    return Checkpoint.parse(note.text)
