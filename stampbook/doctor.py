"""`stampbook doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from stampbook.doctor_data import examine_folder
from stampbook.doctor_server import examine_server
from stampbook.failures import FOUND, OK
from stampbook.finding import Finding
from stampbook.session import Session, connected


@connected
def doctor(
    session: Session,
    *,
    data: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Look at this installation's folder, not at a server."),
    ] = None,
) -> int:
    """Say what is wrong and what to do: versions, stores, lags, clock, stuck lanes.

    Looks at a server, or with --data at the folder of an installation, running or not. Ends with 0
    if all is well, with 1 if something was found.
    """
    findings = list(examine_server(session.client()) if data is None else examine_folder(data))
    is_well = all(finding.is_well for finding in findings)
    if session.as_json:
        session.result({"ok": is_well, "findings": [asdict(finding) for finding in findings]})
    else:
        _show(session, findings, is_well=is_well)
    return OK if is_well else FOUND


def _show(session: Session, findings: Iterable[Finding], *, is_well: bool) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row("ok" if finding.is_well else "!!", finding.subject, finding.detail)
        if finding.what_to_do:
            table.add_row("", "", f"-> {finding.what_to_do}")
    session.tables.print(table)
    session.tell("All is well." if is_well else "Look at the lines marked !!.")
