"""Reading a whole log again, by the server or in a stopped installation, with a bar to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from stampbook.failures import Failure, Misused
from stampbook.session import Session

if TYPE_CHECKING:
    from services.runtime.database import Database

Tick = Callable[[int, int], None]
"""Is told how many of how many events are read."""

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", file_okay=False, help="Read this stopped installation, without a server."
    ),
]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database", help="Read this ledger's database: postgresql://…")
]


@contextmanager
def bar(session: Session, what: str) -> Iterator[Tick]:
    """Silent where nobody looks."""
    progress = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        console=session.console,
        disable=not session.console.is_terminal,
        transient=True,
    )
    with progress:
        task = progress.add_task("", total=None)

        def tick(done: int, of: int) -> None:
            progress.update(task, completed=done, total=of)

        yield tick


def ask(session: Session, path: str, tick: Tick, *, method: str = "GET") -> dict[str, Any]:
    """The server reads; its answer is progress, line by line, and last what it found."""
    with session.client().lines(path, method=method) as lines:
        for line in lines:
            found: dict[str, Any] = msgspec.json.decode(line)
            if found.keys() != {"checked", "of"}:
                return found
            tick(found["checked"], found["of"])
    raise Failure("The server stopped before it had read the whole log; try again.")


@contextmanager
def ledger(data: Path | None, url: str | None = None) -> Iterator[Database]:
    """The ledger's database of a stopped installation, or one by its address.

    Raises:
        Misused: there is none.
        Failure: it cannot be read.
    """
    # Other commands start faster without the services.
    from services.runtime import database as store  # noqa: PLC0415

    if data is not None:
        path = data / "ledger.db"
        if not path.is_file():
            raise Misused(f"There is no ledger in {data}: {path} does not exist.")
        url = f"sqlite:///{path.resolve()}"
    try:
        with closing(store.open_database(url or "")) as database:
            yield database
    except store.DatabaseDamaged:
        raise
    except store.DatabaseUnavailable as error:
        raise Failure(f"{data or 'The database'} cannot be read: {error}") from None


def shown(found: object) -> dict[str, Any]:
    """What was found, as the server says it: without what is None."""
    return {k: v for k, v in msgspec.to_builtins(found).items() if v is not None}
