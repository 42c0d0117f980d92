"""`stampbook verify`: the auditor's reading of the whole log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stampbook.failures import FOUND, OK
from stampbook.reading import Data, DatabaseUrl, Tick, ask, bar, ledger, shown
from stampbook.session import Session, connected


@connected
def verify(
    session: Session,
    *,
    data: Data = None,
    database: DatabaseUrl = None,
) -> int:
    """Read the whole log again: positions, hashes, signatures, double entry, lots against balances.

    Ends with 0 if all is well, with 1 at the first bad position, which it names.
    """
    with bar(session, "Verifying") as tick:
        if data is None and database is None:
            verdict = ask(session, "/v1/verification", tick)
        else:
            verdict = _read(data, database, tick)
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


def _read(data: Path | None, url: str | None, tick: Tick) -> dict[str, Any]:
    """Read the ledger's database itself; nothing in it is changed."""
    from services.ledger import verify as auditor  # noqa: PLC0415  # others start faster without
    from services.runtime.database import DatabaseDamaged  # noqa: PLC0415

    try:
        with ledger(data, url) as database:
            return shown(auditor.verify(database, progress=tick))
    except DatabaseDamaged as damage:
        return shown(
            auditor.Verdict(ok=False, events=0, position=1, fault="unreadable", detail=str(damage))
        )
