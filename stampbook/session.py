"""What all commands have in common: the server they talk to, and how they speak.

Results go to standard output, everything else to standard error, so that a pipe carries results
only. With ``--json`` results are JSON and people are told nothing.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from stampbook.client import Client
from stampbook.failures import INTERRUPTED, Failure, Misused
from stampbook.settings import StampbookSettings

DATA = Path("stampbook-data")
OPERATOR_KEY = "operator.key"
_FRACTION = re.compile(r"(?<=T\d\d:\d\d:\d\d)\.\d+")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

Url = Annotated[
    str | None, typer.Option("--url", help="The server [STAMPBOOK_URL].", show_default=False)
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="The key to show it [STAMPBOOK_KEY; here, ./stampbook-data/operator.key].",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]


class Session:
    """One run of a command."""

    def __init__(self, *, url: str | None, key: str | None, as_json: bool) -> None:
        settings = StampbookSettings()
        self.as_json = as_json
        self.merchant = settings.merchant
        self.url = (url or settings.url).rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise Misused(f"--url is an address such as http://127.0.0.1:8080, not {self.url!r}")
        self._key = key or (settings.key.get_secret_value() if settings.key else None)

    @functools.cached_property
    def console(self) -> Console:
        """Where people are spoken to."""
        return Console(stderr=True, quiet=self.as_json, highlight=False, markup=False)

    @functools.cached_property
    def tables(self) -> Console:
        """Where results for people go."""
        console = Console(highlight=False, markup=False)
        if not console.is_terminal:
            console.width = 200  # a pipe has no width
        return console

    def client(self, *, merchant: str | None = None) -> Client:
        """Connect with the key that was named, or with the operator's of this very folder."""
        return Client(self.url, self._key or self._own_key(), merchant or self.merchant)

    def tell(self, text: str) -> None:
        """Say something to the person in front of it."""
        self.console.print(text, soft_wrap=True)

    def result(self, value: object) -> None:
        """Print a result as one line of JSON."""
        write_line(value if isinstance(value, bytes) else msgspec.json.encode(value))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a result for a person."""
        table = Table(box=None, pad_edge=False)
        for n, column in enumerate(columns):
            # The first column is what other commands take: never shortened.
            width = max((len(str(row[n])) for row in rows), default=0) if n == 0 else None
            table.add_column(column.replace("_", " "), min_width=width, overflow="fold")
        for row in rows:
            table.add_row(*("" if cell is None else _shown(cell) for cell in row))
        self.tables.print(table)

    def _own_key(self) -> str | None:
        """The key that `stampbook up` left here, never shown to any other machine."""
        path = DATA / OPERATOR_KEY
        if urlsplit(self.url).hostname not in _LOOPBACK or not path.is_file():
            return None
        self.tell(f"Using the key in {path}.")
        return path.read_text("utf-8").strip()


def _shown(cell: object) -> str:
    """Instants without their fractions: people compare days and minutes."""
    return _FRACTION.sub("", str(cell))


def write_line(line: bytes) -> None:
    """One line to standard output, at once, in UTF-8 whatever the terminal."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def connected(command: Callable[..., int | None]) -> Callable[..., None]:
    """Give a command ``--url``, ``--key`` and ``--json``, and say what went wrong in it.

    The command takes a `Session` in their place and returns its exit code, None for 0.
    """

    @functools.wraps(command)
    def run(*, url: str | None, key: str | None, as_json: bool, **options: Any) -> None:
        try:
            code = command(Session(url=url, key=key, as_json=as_json), **options)
        except Failure as failure:
            if as_json:
                sys.stderr.buffer.write(failure.as_json() + b"\n")
            else:
                typer.echo(failure.text(), err=True)
            code = failure.exit_code
        except KeyboardInterrupt:
            code = INTERRUPTED
        raise typer.Exit(code or 0)

    _session, *own = inspect.signature(command, eval_str=True).parameters.values()
    shared = inspect.signature(_shared_options, eval_str=True).parameters.values()
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *shared)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _shared_options(*, url: Url = None, key: Key = None, as_json: AsJson = False) -> None:
    """Whose parameters every connected command gets."""
