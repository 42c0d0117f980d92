"""The benchmark: ``make bench`` prints a table and writes ``build/bench.json``.

Everything runs on this machine, broker and database on the same cores, fsync on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import (
    account,
    archive,
    embedded,
    end_to_end,
    growth,
    redemption,
    takeover,
    tree,
    writer,
)
from tests.bench.figures import Figure, as_json, machine
from tests.support.full import running_full
from tests.support.installation import ROOT, Installation
from tests.support.stack import Stack

RESULT = ROOT / "build" / "bench.json"
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures -->", "<!-- end -->"


def main(arguments: list[str]) -> int:
    """Measure what is asked for, show it, write it down."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--page", action="store_true", help="also write docs/benchmarks.md")
    chosen = parser.parse_args(arguments)
    console = Console(stderr=True)
    figures: list[Figure] = []
    for name in chosen.parts or PARTS:
        with console.status(f"measuring {name} ..."):
            figures += PARTS[name]()
    Console().print(_table(figures))
    RESULT.parent.mkdir(exist_ok=True)
    result = {"machine": machine(), "figures": as_json(figures)}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"written to {RESULT.relative_to(ROOT)}")
    if chosen.page:
        PAGE.write_text(_page(PAGE.read_text("utf-8"), figures), "utf-8")
    return 0


def _writer() -> list[Figure]:
    with Stack.start() as stack:
        return writer.measure(stack)


def _growth() -> list[Figure]:
    with Stack.start() as stack:
        return growth.measure(stack)


def _takeover() -> list[Figure]:
    with Stack.start() as stack:
        return takeover.measure(stack)


def _account() -> list[Figure]:
    with Stack.start() as stack:
        return account.measure(stack)


def _tree() -> list[Figure]:
    with Stack.start() as stack:
        return tree.measure(stack)


def _archive() -> list[Figure]:
    with Stack.start() as stack:
        return archive.measure(stack)


def _embedded() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="stampbook-bench-") as folder:
        return embedded.measure(Path(folder))


def _on_full(measure: Callable[[Installation], list[Figure]]) -> Callable[[], list[Figure]]:
    def measured() -> list[Figure]:
        with _full() as full:
            return measure(full)

    return measured


@contextmanager
def _full() -> Iterator[Installation]:
    with Stack.start() as stack, running_full(stack) as full:
        yield full


PARTS: dict[str, Callable[[], list[Figure]]] = {
    "writer": _writer,
    "account": _account,
    "growth": _growth,
    "takeover": _takeover,
    "archive": _archive,
    "tree": _tree,
    "redemption": _on_full(redemption.measure),
    "end-to-end": _on_full(end_to_end.measure),
    "embedded": _embedded,
}


def _table(figures: list[Figure]) -> Table:
    table = Table("figure", "value", "unit", "limit", "ratio", "what", title="Stampbook")
    for figure in figures:
        limit = "" if figure.limit is None else f"{figure.limit:,}"
        ratio = "" if figure.ratio is None else str(figure.ratio)
        table.add_row(figure.name, f"{figure.value:,}", figure.unit, limit, ratio, figure.note)
    return table


def _page(page: str, figures: list[Figure]) -> str:
    """The page with the figures of this run between its marks."""
    lines = ["| figure | value | unit | limit | ratio | what |", "|---|---:|---|---:|---:|---|"]
    for figure in figures:
        limit = "" if figure.limit is None else f"{figure.limit:,}"
        ratio = "" if figure.ratio is None else f"{figure.ratio}"
        row = (figure.name, f"{figure.value:,}", figure.unit, limit, ratio, figure.note)
        lines.append(f"| {' | '.join(row)} |")
    about = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in machine().items())
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    table = "\n".join(lines)
    return f"{before}{BEGIN}\n\nMeasured on: {about}.\n\n{table}\n\n{END}{after}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
