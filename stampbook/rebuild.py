"""`stampbook rebuild`: a view made again from the log, compared, and put in place."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stampbook.data_folder import DataFolder
from stampbook.failures import FOUND, OK, Failure, Misused
from stampbook.reading import Data, DatabaseUrl, Tick, ask, bar, ledger, shown
from stampbook.session import Session, connected

if TYPE_CHECKING:
    from services.runtime.database import Database


@connected
def rebuild(
    session: Session,
    *,
    view: Annotated[
        str, typer.Argument(metavar="VIEW", help="balances, returns, belongings or totals.")
    ],
    switch: Annotated[
        bool, typer.Option("--switch", help="Put the rebuilt one in place, in one transaction.")
    ] = False,
    data: Data = None,
    database: DatabaseUrl = None,
) -> int:
    """Build a view from the log beside the one in use, and compare them row by row.

    Ends with 0 if they are alike, or --switch has made them so; with 1 if they differ. With
    --switch, what records waits until it is done.
    """
    with bar(session, "Rebuilding") as tick:
        if data is not None or database is not None:
            with ledger(data, database) as opened:
                found = _work(opened, view, tick, folder=data if switch else None, switch=switch)
        elif switch:
            found = ask(session, f"/v1/views/{view}/switch", tick, method="POST")
        else:
            found = ask(session, f"/v1/views/{view}/comparison", tick)
    if "fault" in found:
        place = f"Position {found['position']}" if "position" in found else "The log"
        raise Failure(f"{place}: {found['detail']}\nThe log itself is damaged: run `verify`.")
    if session.as_json:
        session.result(found)
    else:
        _tell(session, found)
    return OK if found["is_switched"] or not found["differences"] else FOUND


def _work(
    database: Database, view: str, tick: Tick, *, folder: Path | None, switch: bool
) -> dict[str, Any]:
    from services.ledger import rebuild as rebuilding  # noqa: PLC0415  # others start faster without
    from services.ledger.replay import Inconsistent  # noqa: PLC0415
    from services.runtime.clock import utc_now  # noqa: PLC0415

    if view not in rebuilding.VIEWS:
        raise Misused(f"There is no view {view}; there are {', '.join(rebuilding.VIEWS)}.")
    work = partial(rebuilding.switch, now=utc_now()) if switch else rebuilding.compare
    try:
        with DataFolder(folder).held() if folder else nullcontext():
            return shown(work(database, view, progress=tick))
    except Inconsistent as error:
        return {"fault": error.fault, "position": error.position, "detail": str(error)}
    except ValueError as error:
        return {"fault": "unreadable", "detail": str(error)}


def _tell(session: Session, found: dict[str, Any]) -> None:
    for difference in found["shown"]:
        place = f"position {difference['position']}" if difference["position"] else "no position"
        session.tell(
            f"{difference['table']} {difference['key']} ({difference['member'] or 'no member'}, "
            f"{place}): kept {difference['kept'] or 'no row'}; "
            f"rebuilt {difference['rebuilt'] or 'no row'}"
        )
    if len(found["shown"]) < found["differences"]:
        session.tell(f"… and {found['differences'] - len(found['shown']):,} more.")
    said = "put in place" if found["is_switched"] else "compared"
    session.tell(
        f"View {found['view']}: {found['rows']:,} rows rebuilt from {found['events']:,} events and "
        f"{said}, {found['differences']:,} differences."
    )
