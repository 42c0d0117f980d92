"""The tree against Certificate Transparency's own vectors, and against RFC 6962 word for word."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.runtime.merkle import (
    Edge,
    Nodes,
    Tile,
    consistency,
    edge_of,
    edge_tiles,
    grown,
    inclusion,
    leaf_hash,
    tile_count,
)
from tests.support import rfc6962
from tests.support.rfc6962 import CONSISTENCIES, INCLUSIONS, LEAVES, ROOTS

# One, two and three levels of tiles, and a leaf more or less.
SIZES = [*range(20), 255, 256, 257, 511, 512, 700, 65_535, 65_536, 65_537, 66_049]


def leaves(count: int) -> list[bytes]:
    return [b"event %d" % number for number in range(count)]


def in_batches(contents: Sequence[bytes], sizes: Iterator[int]) -> tuple[Edge, dict[Tile, bytes]]:
    edge, done = Edge(), 0
    tiles: dict[Tile, bytes] = {}
    while done < len(contents):
        batch = contents[done : done + next(sizes)]
        edge, changed = grown(edge, [leaf_hash(content) for content in batch])
        tiles |= changed
        done += len(batch)
    return edge, tiles


def tree(contents: Sequence[bytes]) -> tuple[Edge, dict[Tile, bytes]]:
    lengths = random.Random(len(contents))
    return in_batches(contents, iter(lambda: lengths.choice([1, 2, 255, 256, 3_000]), None))


def nodes_of(tiles: Mapping[Tile, bytes]) -> Nodes:
    return Nodes(lambda wanted: {tile: tiles[tile] for tile in wanted})


@pytest.mark.parametrize("size", range(9))
def test_has_the_published_roots(size: int) -> None:
    edge, _ = tree(LEAVES[:size])

    assert edge.root == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), INCLUSIONS)
def test_gives_the_published_inclusion_proofs(index: int, size: int) -> None:
    _, tiles = tree(LEAVES)

    found = nodes_of(tiles).hashes(inclusion(index, size))

    assert found == INCLUSIONS[index, size]


@pytest.mark.parametrize(("old", "new"), CONSISTENCIES)
def test_gives_the_published_consistency_proofs(old: int, new: int) -> None:
    _, tiles = tree(LEAVES)

    found = nodes_of(tiles).hashes(consistency(old, new))

    assert found == CONSISTENCIES[old, new]


@pytest.mark.parametrize("size", SIZES)
def test_grows_to_the_same_root_however_it_is_batched(size: int) -> None:
    contents = leaves(size)

    edge, _ = tree(contents)

    assert (edge.size, edge.root) == (size, rfc6962.tree_hash(contents))


@pytest.mark.parametrize("size", SIZES)
def test_grows_on_from_what_is_stored(size: int) -> None:
    edge, tiles = tree(leaves(size))

    found = edge_of(size, {tile: tiles[tile] for tile in edge_tiles(size)})

    assert (found.size, found.root) == (size, edge.root)
    more = [leaf_hash(b"one"), leaf_hash(b"more")]
    assert grown(found, more)[0].root == grown(edge, more)[0].root


def test_tiles_are_laid_out_as_the_specification_says() -> None:
    _, tiles = tree(leaves(70_000))

    assert len(tiles) == tile_count(70_000)
    widths = {tile: len(hashes) // 32 for tile, hashes in tiles.items()}

    assert widths == {
        **{(0, number): 256 for number in range(273)},
        (0, 273): 112,
        (1, 0): 256,
        (1, 1): 17,
        (2, 0): 1,
    }


def test_a_full_tile_is_above_before_another_leaf_comes() -> None:
    _, tiles = tree(leaves(256))

    assert {tile: len(hashes) // 32 for tile, hashes in tiles.items()} == {(0, 0): 256, (1, 0): 1}


def test_only_what_changed_is_written() -> None:
    edge, _ = tree(leaves(70_000))

    _, changed = grown(edge, [leaf_hash(b"one more")])

    assert list(changed) == [(0, 273)]


def test_what_is_remembered_grows_with_the_logarithm() -> None:
    edge, _ = tree(leaves(66_049 + 255))

    remembered_bytes = sum(map(len, (*edge.peaks, *edge.parts)))

    assert remembered_bytes <= 3 * 255 * 32 + 17 * 32


@pytest.mark.parametrize("size", [1_000_000_007, 2**40 - 1])
def test_a_proof_needs_two_tiles_of_each_level(size: int) -> None:
    asked: list[Collection[Tile]] = []

    def fetch(wanted: Collection[Tile]) -> dict[Tile, bytes]:
        asked.append(wanted)
        return {tile: bytes(256 * 32) for tile in wanted}

    Nodes(fetch).hashes([*inclusion(size // 3, size), *consistency(size // 3, size)])

    [wanted] = asked
    levels = -(-size.bit_length() // 8)
    assert len(wanted) <= 2 * levels


@settings(max_examples=300)
@given(st.data())
def test_proves_what_the_rfc_proves(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 600))
    contents = leaves(size)
    _, tiles = in_batches(contents, iter(lambda: data.draw(st.integers(1, 300)), None))
    new = data.draw(st.integers(1, size))
    index, old = data.draw(st.integers(0, new - 1)), data.draw(st.integers(0, new))

    nodes = nodes_of(tiles)

    assert nodes.hashes(inclusion(index, new)) == rfc6962.path(index, contents[:new])
    assert nodes.hashes(consistency(old, new)) == rfc6962.proof(old, contents[:new])
    assert nodes.hash_of((0, new)) == rfc6962.tree_hash(contents[:new])
    assert edge_of(new, {tile: tiles[tile] for tile in edge_tiles(new)}).root == nodes.hash_of(
        (0, new)
    )
