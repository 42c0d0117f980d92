"""The Merkle tree over an event log, in tables beside it: it grows where the log is appended to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha256

from services.runtime.checkpoints import Notary
from services.runtime.database import Connection, Database
from services.runtime.merkle import HASH_BYTES, TILE_WIDTH, Edge, Nodes, Tile, edge_of, edge_tiles
from services.runtime.merkle import grown as grown_by

_PAGE_SIZE = 2_048
_EVENTS = """
SELECT position, event FROM events WHERE position > :after ORDER BY position LIMIT :limit
"""
_NEWEST = "SELECT tile, hashes FROM tiles WHERE level = 0 ORDER BY tile DESC LIMIT 1"
_TILES = "SELECT tile, hashes FROM tiles WHERE level = :level AND tile IN :keys"


class Tree:
    """What a log needs to let its tree grow, and to have its root signed."""

    def __init__(self, notary: Notary | None = None) -> None:
        self._notary = notary

    def grow(self, connection: Connection, edge: Edge, events: Iterable[bytes]) -> Edge:
        """Add events to the right of the tree, and sign what it is now."""
        edge = _grow(connection, edge, events)
        if self._notary is not None:
            self._notary.sign(connection, edge)
        return edge

    def edge(self, connection: Connection, position: int) -> Edge:
        """The right edge of the tree over a log that ends at ``position``.

        A tree that is behind is brought up to it; `catch_up` before spares one long transaction.
        """
        edge = load_edge(connection, size_of(connection))
        while edge.size < position:
            edge = _next_page(connection, edge)
        assert edge.size == position, f"the tree has {edge.size} leaves, the log {position} events"
        return edge

    def catch_up(self, database: Database, confirm: Callable[[Connection], None]) -> None:
        """Give a log its tree, page by page, where it has none or one that is behind; then sign.

        ``confirm`` is called in each transaction: it raises when somebody else owns the log now.
        """
        is_behind = True
        while is_behind:
            with database.write() as connection:
                confirm(connection)
                [(position,)] = connection.rows("SELECT position FROM log_head")
                edge = load_edge(connection, size_of(connection))
                is_behind = edge.size < position
                if is_behind:
                    _next_page(connection, edge)
                elif self._notary is not None:
                    self._notary.introduce(connection, edge)


def size_of(connection: Connection) -> int:
    """How many leaves the stored tree has."""
    row = connection.row(_NEWEST)
    return row[0] * TILE_WIDTH + len(row[1]) // HASH_BYTES if row else 0


def load_edge(connection: Connection, size: int) -> Edge:
    """The right edge that the tree had when it had this size."""
    return edge_of(size, fetch(connection, edge_tiles(size)))


def root_at(connection: Connection, size: int) -> bytes | None:
    """The root hash that the tree had when it had this size; None: it has not grown so far yet."""
    return load_edge(connection, size).root if size <= size_of(connection) else None


def nodes(connection: Connection) -> Nodes:
    """The nodes of the stored tree, for proofs."""
    return Nodes(lambda wanted: fetch(connection, wanted))


def fetch(connection: Connection, wanted: Collection[Tile]) -> Mapping[Tile, bytes]:
    """These tiles, as far as they exist: one read for each level."""
    found: dict[Tile, bytes] = {}
    for level in sorted({level for level, _ in wanted}):
        numbers = [number for each, number in wanted if each == level]
        for number, hashes in connection.pick(_TILES, numbers, {"level": level}):
            found[level, number] = bytes(hashes)
    return found


def _next_page(connection: Connection, edge: Edge) -> Edge:
    page = connection.rows(_EVENTS, {"after": edge.size, "limit": _PAGE_SIZE})
    positions = [position for position, _ in page]
    expected = list(range(edge.size + 1, edge.size + 1 + len(page)))
    assert page, f"the log ends before its head: nothing after {edge.size}"
    assert positions == expected, f"the log has a gap after {edge.size}; run `stampbook verify`"
    return _grow(connection, edge, (bytes(event) for _, event in page))


def _grow(connection: Connection, edge: Edge, events: Iterable[bytes]) -> Edge:
    edge, tiles = grown_by(edge, [sha256(b"\x00" + event).digest() for event in events])
    rows = [(level, number, hashes) for (level, number), hashes in tiles.items()]
    connection.upsert("tiles", ("level", "tile", "hashes"), rows, key=("level", "tile"))
    return edge
