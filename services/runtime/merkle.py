"""A Merkle tree over a sequence (RFC 6962), grown at its right edge and kept in tiles.

A tile (C2SP tlog-tiles) holds 256 consecutive hashes of one level: at level 0 those of leaves, at
level L the roots of full tiles of level L - 1. So every node of the tree lies in a tile or a few
hashes above one, and any proof needs a tile or two of each level.

Nothing here reads or writes: `tree` keeps the tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
TILE_BYTES = TILE_WIDTH * HASH_BYTES
_LEAF, _NODE = b"\x00", b"\x01"
_NOBODY = b""

Tile = tuple[int, int]
"""Level and number of a tile, both from 0."""
Span = tuple[int, int]
"""Leaves from the first, up to but without the second."""


def leaf_hash(content: bytes) -> bytes:
    """The hash of one leaf."""
    return sha256(_LEAF + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash over two nodes."""
    return sha256(_NODE + left + right).digest()


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a tree: all that one has to know to let it grow."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()  # by height: the node that waits for its right sibling, or b""
    parts: tuple[bytes, ...] = ()  # by level: the hashes of the tile that is not full

    @property
    def root(self) -> bytes:
        """The root hash of the tree."""
        return _folded([peak for peak in reversed(self.peaks) if peak])


def grown(edge: Edge, leaves: Sequence[bytes]) -> tuple[Edge, dict[Tile, bytes]]:
    """The edge with more leaves (their hashes) to its right, and the tiles that changed."""
    peaks, parts = list(edge.peaks), list(edge.parts)
    tiles: dict[Tile, bytes] = {}
    nodes, before, height = list(leaves), edge.size, 0  # the new nodes; how many were there
    while nodes:
        level, above = divmod(height, TILE_HEIGHT)
        if not above:
            parts.extend([_NOBODY] * (level + 1 - len(parts)))
            cut = _cut(parts[level] + b"".join(nodes))
            tiles |= {(level, before // TILE_WIDTH + n): part for n, part in enumerate(cut)}
            parts[level] = cut[-1] if len(cut[-1]) < TILE_BYTES else _NOBODY
        peaks.extend([_NOBODY] * (height + 1 - len(peaks)))
        if before % 2:
            nodes.insert(0, peaks[height])
        peaks[height] = nodes[-1] if len(nodes) % 2 else _NOBODY
        pairs = zip(nodes[::2], nodes[1::2], strict=False)
        nodes = [sha256(_NODE + left + right).digest() for left, right in pairs]
        before //= 2
        height += 1
    return Edge(edge.size + len(leaves), tuple(peaks), tuple(parts)), tiles


def edge_tiles(size: int) -> list[Tile]:
    """The tiles at the right edge that are not full, and not empty."""
    widths = [(level, size >> TILE_HEIGHT * level) for level in range(_levels(size))]
    return [(level, width // TILE_WIDTH) for level, width in widths if width % TILE_WIDTH]


def tile_count(size: int) -> int:
    """How many tiles a tree of this size has."""
    return sum(-(-(size >> TILE_HEIGHT * level) // TILE_WIDTH) for level in range(_levels(size)))


def edge_of(size: int, tiles: Mapping[Tile, bytes]) -> Edge:
    """The edge that a tree of this size has; ``tiles`` are at least those of `edge_tiles`."""
    parts = [_NOBODY] * _levels(size)
    for level, number in edge_tiles(size):
        width_bytes = (size >> TILE_HEIGHT * level) % TILE_WIDTH * HASH_BYTES
        parts[level] = tiles[level, number][:width_bytes]
        assert len(parts[level]) == width_bytes, f"tile {level}/{number} is too short"
    nodes = Nodes(lambda _: tiles)
    peaks = []
    for height in range(size.bit_length()):
        count = size >> height
        span = (count - 1 << height, count << height)
        peaks.append(nodes.hash_of(span) if count % 2 else _NOBODY)
    return Edge(size, tuple(peaks), tuple(parts))


def inclusion(index: int, size: int) -> list[Span]:
    """What proves that the leaf at ``index`` is in the tree of ``size``: PATH of RFC 6962."""
    spans: list[Span] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((begin, middle))
            begin = middle
    return spans[::-1]


def consistency(old: int, new: int) -> list[Span]:
    """What proves that the tree of size ``old`` begins that of ``new``: PROOF of RFC 6962.

    Nothing needs proof of the empty tree, nor of a tree against itself.
    """
    spans: list[Span] = []
    begin, end = 0, new
    while 0 < old < end:
        middle = begin + _split(end - begin)
        if old <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((begin, middle))
            begin = middle
    if begin:
        spans.append((begin, end))
    return spans[::-1]


class Nodes:
    """The nodes of a tree out of its tiles; ``fetch`` is asked for each tile once."""

    def __init__(self, fetch: Callable[[Collection[Tile]], Mapping[Tile, bytes]]) -> None:
        self._fetch = fetch
        self._tiles: dict[Tile, bytes] = {}
        self._known: dict[Span, bytes] = {}  # by height and number

    def hashes(self, spans: Sequence[Span]) -> list[bytes]:
        """The root hashes over these spans of leaves; each begins a subtree."""
        wanted = {_tile(*node) for span in spans for node in _complete(*span)}
        missing = wanted - self._tiles.keys()
        if missing:
            self._tiles |= self._fetch(missing)
        return [_folded([self._node(*node) for node in _complete(*span)]) for span in spans]

    def hash_of(self, span: Span) -> bytes:
        """The root hash over one span."""
        [found] = self.hashes([span])
        return found

    def _node(self, height: int, number: int) -> bytes:
        found = self._known.get((height, number))
        if found is None:
            if height % TILE_HEIGHT:
                left = self._node(height - 1, 2 * number)
                found = node_hash(left, self._node(height - 1, 2 * number + 1))
            else:
                at = number % TILE_WIDTH * HASH_BYTES
                found = self._tiles[_tile(height, number)][at : at + HASH_BYTES]
                assert len(found) == HASH_BYTES, f"no node {height}/{number}"
            self._known[height, number] = found
        return found


def _complete(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Height and number of the largest complete subtrees that a span consists of."""
    while begin < end:
        height = (end - begin).bit_length() - 1
        yield height, begin >> height
        begin += 1 << height


def _tile(height: int, number: int) -> Tile:
    """Where the hashes of a node lie, or those below it."""
    level, above = divmod(height, TILE_HEIGHT)
    return level, (number << above) // TILE_WIDTH


def _folded(hashes: Sequence[bytes]) -> bytes:
    """The root over complete subtrees, the largest first."""
    if not hashes:
        return sha256().digest()
    root = hashes[-1]
    for peak in hashes[-2::-1]:
        root = node_hash(peak, root)
    return root


def _split(count: int) -> int:
    """The largest power of two below."""
    return 1 << (count - 1).bit_length() - 1


def _cut(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + TILE_BYTES] for at in range(0, len(hashes), TILE_BYTES)]


def _levels(size: int) -> int:
    return (size.bit_length() + TILE_HEIGHT - 1) // TILE_HEIGHT
