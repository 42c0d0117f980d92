"""`stampbook log`: the event log, line by line."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer

from stampbook.client import Client
from stampbook.failures import Unreachable
from stampbook.session import Session, connected, write_line

_BACK_OFF_S_MAX = 15.0


class _Place(msgspec.Struct):
    """Of an event, where it stands."""

    position: int


_place = msgspec.json.Decoder(_Place).decode


@connected
def log(
    session: Session,
    *,
    after: Annotated[int, typer.Option(min=0, help="Begin after this position.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows.")] = False,
    type_: Annotated[
        str | None, typer.Option("--type", help="Only such events: points.earned, or points.*")
    ] = None,
    member: Annotated[str | None, typer.Option(help="Only this member's events.")] = None,
) -> None:
    """Print the event log: one CloudEvent a line (NDJSON), in the order of its positions.

    With --follow it goes on until Ctrl-C, and comes back by itself when the server restarts.
    """
    params: dict[str, str | int] = {"after": after}
    params |= {k: v for k, v in (("type", type_), ("member", member)) if v is not None}
    client = session.client()
    try:
        if not follow:
            with client.lines("/v1/events", params=params) as lines:
                for line in lines:
                    write_line(line)
            return
        for line in _following(session, client, params | {"follow": "true"}):
            write_line(line)
    except BrokenPipeError:
        # Whoever read this has seen enough; Python would complain about it once more at its end.
        sys.stdout = None


def _following(session: Session, client: Client, params: dict[str, str | int]) -> Iterator[bytes]:
    """Lines without end; each of them once, also when the connection breaks."""
    was_reached = False
    delay_s = 0.0
    while True:
        try:
            with client.lines("/v1/events", params=params) as lines:
                was_reached = True
                for line in lines:
                    params["after"] = _place(line).position
                    delay_s = 0.0
                    yield line
        except Unreachable:
            if not was_reached:
                raise
        delay_s = min(max(0.5, 2 * delay_s), _BACK_OFF_S_MAX)
        session.tell(f"The connection ended; again in {delay_s:g} s.")
        time.sleep(delay_s)
