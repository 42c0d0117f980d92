"""Files and functions stay small enough to be read in one go, and the measure can fail."""

import ast
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, files

FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 40
SOURCES = [*files(ROOT / "services", "*.py"), *files(ROOT / "stampbook", "*.py")]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_is_small(path: Path) -> None:
    assert too_long(path.read_text()) == []


def test_finds_a_file_that_is_too_long() -> None:
    assert too_long("\n" * FILE_LINES_MAX) == []
    assert too_long("\n" * (FILE_LINES_MAX + 1)) == ["the file: 301 lines"]


def test_finds_a_function_that_is_too_long() -> None:
    body = "    pass\n"

    assert too_long("def f():\n" + body * (FUNCTION_LINES_MAX - 1)) == []
    assert too_long("def f():\n" + body * FUNCTION_LINES_MAX) == ["f: 41 lines"]


def test_counts_a_function_inside_another_for_itself() -> None:
    inner = "    def inner():\n" + "        pass\n" * (FUNCTION_LINES_MAX - 1)

    assert too_long("def outer():\n" + inner + "    return inner\n") == []


def too_long(source: str) -> list[str]:
    lines = len(source.splitlines())
    found = [f"the file: {lines} lines"] if lines > FILE_LINES_MAX else []
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, Function)]
    return found + [
        f"{function.name}: {own_lines(function)} lines"
        for function in functions
        if own_lines(function) > FUNCTION_LINES_MAX
    ]


def own_lines(function: Function) -> int:
    """A function's lines without those of the functions inside it: a router holds its handlers."""
    return lines_of(function) - sum(lines_of(inner) for inner in functions_in(function))


def functions_in(node: ast.AST) -> list[Function]:
    """The outermost functions inside a node."""
    found: list[Function] = []
    for child in ast.iter_child_nodes(node):
        found += [child] if isinstance(child, Function) else functions_in(child)
    return found


def lines_of(function: Function) -> int:
    assert function.end_lineno is not None
    first = min([function.lineno, *(each.lineno for each in function.decorator_list)])
    return function.end_lineno - first + 1
