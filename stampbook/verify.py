"""`stampbook verify`: the auditor's reading of the whole log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stampbook.failures import FOUND, OK
from stampbook.reading import Tick, ask, bar, ledger, shown
from stampbook.session import Session, connected


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
    with bar(session, "Verifying") as tick:
        verdict = ask(session, "/v1/verification", tick) if data is None else _read(data, tick)
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


def _read(data: Path, tick: Tick) -> dict[str, Any]:
    """Read the ledger's database itself; nothing in it is changed."""
    from services.ledger import verify as auditor  # noqa: PLC0415  # others start faster without
    from services.runtime.database import DatabaseDamaged  # noqa: PLC0415

    try:
        with ledger(data) as database:
            return shown(auditor.verify(database, progress=tick))
    except DatabaseDamaged as damage:
        return shown(
            auditor.Verdict(ok=False, events=0, position=1, fault="unreadable", detail=str(damage))
        )
