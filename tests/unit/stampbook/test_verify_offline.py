"""The offline verifier against Certificate Transparency's own vectors, and against RFC 6962."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.checkpoints import Checkpoint
from services.runtime.notes import Note, Signer
from tests.support import rfc6962
from tests.support.offline import PATH, offline
from tests.support.rfc6962 import CONSISTENCIES, INCLUSIONS, LEAVES, ROOTS

verifier = offline()
Rejected: type[Exception] = verifier.Rejected
GARBAGE = bytes(range(32))
SIGNER = Signer("log.example/ledger", bytes(32))
KEY = verifier.read_key(str(SIGNER.verifier))
TEXT = Checkpoint(SIGNER.name, 8, ROOTS[8]).text


def check_growth(old: int, new: int, roots: Sequence[bytes], path: Sequence[bytes]) -> None:
    older, newer = roots
    verifier.check_consistency(
        verifier.Checkpoint("log", old, older), verifier.Checkpoint("log", new, newer), path
    )


def spoilt(path: list[bytes]) -> list[list[bytes]]:
    """As the tests of Certificate Transparency spoil a proof."""
    flipped = [
        [*path[:n], bytes([path[n][0] ^ 8]) + path[n][1:], *path[n + 1 :]] for n in range(len(path))
    ]
    cut = [path[:n] + path[n + 1 :] for n in range(len(path))]
    grown = [[*path[:n], GARBAGE, *path[n:]] for n in range(len(path) + 1)]
    return [*flipped, *cut, *grown]


def test_the_empty_tree_has_the_published_root() -> None:
    check_growth(0, 8, (ROOTS[0], ROOTS[8]), [])

    with pytest.raises(Rejected):
        check_growth(0, 8, (GARBAGE, ROOTS[8]), [])


@pytest.mark.parametrize(("index", "size"), INCLUSIONS)
def test_takes_the_published_inclusion_proofs_and_no_other(index: int, size: int) -> None:
    path, leaf = INCLUSIONS[index, size], verifier.leaf_hash(LEAVES[index])

    assert verifier.root_of_inclusion(index, size, leaf, path) == ROOTS[size]
    for wrong in spoilt(path):
        assert root_or_none(index, size, leaf, wrong) != ROOTS[size]
    for other, elsewhere in ((index ^ 2, size), (index + 1, size), (index, size * 2)):
        assert root_or_none(other, elsewhere, leaf, path) != ROOTS[size]


def root_or_none(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> Any:
    try:
        return verifier.root_of_inclusion(index, size, leaf, path)
    except Rejected:
        return None


@pytest.mark.parametrize(("old", "new"), CONSISTENCIES)
def test_takes_the_published_consistency_proofs_and_no_other(old: int, new: int) -> None:
    path, roots = CONSISTENCIES[old, new], (ROOTS[old], ROOTS[new])

    check_growth(old, new, roots, path)

    wrong: list[tuple[int, int, Sequence[bytes], list[bytes]]] = [
        *((old, new, roots, each) for each in spoilt(path)),
        (old, new, (GARBAGE, roots[1]), path),
        (old, new, (roots[0], GARBAGE), path),
    ]
    if old != new:
        wrong += [(new, old, roots, path), (old, new, roots[::-1], path)]
        wrong += [(old + 1, new, roots, path)]
        wrong += [(old, new * 2, roots, path), (old, new, roots, [])]
    for sizes in wrong:
        with pytest.raises(Rejected):
            check_growth(*sizes)


@given(st.data())
def test_takes_what_the_rfc_proves(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 200))
    leaves = [b"%d" % number for number in range(size)]
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    root = rfc6962.tree_hash(leaves)
    path, growth = rfc6962.path(index, leaves), rfc6962.proof(old, leaves)
    spoil = data.draw(st.integers(0, 31))

    leaf = verifier.leaf_hash(leaves[index])
    assert verifier.root_of_inclusion(index, size, leaf, path) == root
    check_growth(old, size, (rfc6962.tree_hash(leaves[:old]), root), growth)
    assert root_or_none(index, size, leaf, [*path, GARBAGE]) != root
    if growth:
        place = spoil % len(growth)
        changed = bytes([growth[place][0] ^ 1 << spoil % 8]) + growth[place][1:]
        with pytest.raises(Rejected):
            wrong = [*growth[:place], changed, *growth[place + 1 :]]
            check_growth(old, size, (rfc6962.tree_hash(leaves[:old]), root), wrong)


def test_a_checkpoint_needs_the_logs_own_signature() -> None:
    good = str(Note(TEXT, (SIGNER.sign(TEXT),)))

    assert verifier.read_checkpoint(good, [KEY]).size == 8


@pytest.mark.parametrize(
    ("note", "why"),
    [
        (TEXT, "no signed note"),
        (f"{TEXT}\n", "no signed note"),
        (f"{TEXT}\nhello\n", "no signature line"),
        (str(Note(TEXT, (SIGNER.sign(TEXT + "x\n"),))), "not over this text"),
        (str(Note(TEXT, (Signer("other.example", bytes(32)).sign(TEXT),))), "not named"),
        (str(Note(TEXT, (SIGNER.sign(TEXT), Signer("w", bytes(32)).sign(TEXT)))), "not named"),
        (str(Note("a\nb\n", (SIGNER.sign("a\nb\n"),))), "signed by"),
        (
            str(Note(f"{SIGNER.name}\nb\n", (SIGNER.sign(f"{SIGNER.name}\nb\n"),))),
            "not origin, size and root",
        ),
    ],
)
def test_what_is_not_signed_as_it_should_be_is_rejected(note: str, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        verifier.read_checkpoint(note, [KEY])


@pytest.mark.parametrize("written", ["", "hello", str(SIGNER.verifier)[:-1], str(SIGNER)])
def test_what_is_no_key_is_rejected(written: str) -> None:
    with pytest.raises(Rejected):
        verifier.read_key(written)


def test_it_needs_python_and_one_library_only() -> None:
    tree = ast.parse(PATH.read_text("utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else names(node))
    }

    assert imported - sys.stdlib_module_names == {"cryptography"}


def names(node: ast.Import) -> list[str]:
    return [alias.name for alias in node.names]
