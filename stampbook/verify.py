"""`stampbook verify`: the auditor's reading of the whole log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from stampbook.failures import FOUND, OK, Failure, Misused
from stampbook.session import Session, connected

Tick = Callable[[int, int], None]


@connected
def verify(
    session: Session,
    *,
    data: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Read this stopped installation, without a server."),
    ] = None,
) -> int:
    """Read the whole log again: positions, hashes, double entry, lots against balances.

    Ends with 0 if all is well, with 1 at the first bad position, which it names.
    """
    bar = Progress(
        TextColumn("Verifying"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        console=session.console,
        disable=not session.console.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)

        def tick(checked: int, of: int) -> None:
            bar.update(task, completed=checked, total=of)

        verdict = _ask(session, tick) if data is None else _read(data, tick)
    if session.as_json:
        session.result(verdict)
    elif verdict["ok"]:
        session.tell(f"Verified: {verdict['events']:,} events, all of them as they were recorded.")
    else:
        session.tell(
            f"Position {verdict['position']}: {verdict['fault']}: {verdict['detail']}\n"
            f"{verdict['events']:,} events before it are good. Keep the data as they are, restore "
            "the last backup beside them, and verify that."
        )
    return OK if verdict["ok"] else FOUND


def _ask(session: Session, tick: Tick) -> dict[str, Any]:
    """The server reads; its answer is progress, line by line, and the verdict."""
    with session.client().lines("/v1/verification", params={}) as lines:
        for line in lines:
            found: dict[str, Any] = msgspec.json.decode(line)
            if "ok" in found:
                return found
            tick(found["checked"], found["of"])
    raise Failure("The server stopped before it had read the whole log; try again.")


def _read(data: Path, tick: Tick) -> dict[str, Any]:
    """Read the ledger's database itself; nothing in it is changed."""
    # Other commands start faster without the services.
    from services.ledger import verify as auditor  # noqa: PLC0415
    from services.runtime import database as store  # noqa: PLC0415

    path = data / "ledger.db"
    if not path.is_file():
        raise Misused(f"There is no ledger in {data}: {path} does not exist.")
    try:
        database = store.open_database(f"sqlite:///{path.resolve()}")
        try:
            verdict = auditor.verify(database, progress=tick)
        finally:
            database.close()
    except store.DatabaseDamaged as damage:
        verdict = auditor.Verdict(
            ok=False, events=0, position=1, fault="unreadable", detail=str(damage)
        )
    except store.DatabaseUnavailable as error:
        raise Failure(f"{path} cannot be read: {error}") from None
    found = {name: getattr(verdict, name) for name in auditor.Verdict.__slots__}
    return {name: value for name, value in found.items() if value is not None}
