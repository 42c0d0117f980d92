"""The door to a member's statement of a month: as JSON, as CSV, or as a page fit for printing."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from services.ledger.api_members import Unit
from services.ledger.api_reports import KnownAt, Month
from services.ledger.signing import SIGNED, signed
from services.ledger.views import monthly, printed, story
from services.runtime.auth import Keys, Principal, Role, authenticated
from services.runtime.clock import Clock
from services.runtime.database import Connection, Database
from services.runtime.notes import Signer
from services.runtime.openapi import gives
from services.runtime.problems import Problem, bad_parameter
from services.runtime.web import PathId, answer

_LOG = logging.getLogger(__name__)
_CSV, _HTML = "text/csv", "text/html"
_SAFE = {
    # Nothing but its own style; shown in no frame, kept in no cache.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-store",
    "Vary": "Accept",
}
Zone = Annotated[
    str | None,
    Query(max_length=64, description="An IANA time zone: where the month begins and ends."),
]
_zones = cache(available_timezones)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which statement."""

    member: PathId
    month: Month
    unit: Unit = None
    time_zone: Zone = None  # None: the installation's
    known_at: KnownAt = None


Wanted = Annotated[Asked, Depends()]


def routes(
    database: Database,
    clock: Clock,
    keys: Keys,
    *,
    time_zone: str,
    signers: Sequence[Signer] = (),
) -> APIRouter:
    """Any key may ask, as for the balance."""
    router = APIRouter(prefix="/v1", tags=["points"])
    reader = Annotated[Principal, Depends(authenticated(keys, *Role))]

    @router.get("/members/{member}/statements/{month}", responses=_ANSWERS)
    def get_statement(request: Request, _: reader, asked: Wanted) -> Response:
        """A month: opening, entries, closing, what ends next; checked against the ledger."""
        with database.read() as connection:
            return _shown(request, made(connection, asked, clock(), default_zone=time_zone))

    @router.get("/members/{member}/statements/{month}/signed", responses=_SIGNED)
    def get_signed(_: reader, asked: Wanted) -> Response:
        """The same to be kept: signed, with what proves its entries, checkpoint and all."""
        with database.read() as connection:
            statement = made(connection, asked, clock(), default_zone=time_zone)
            entries = [entry for unit in statement["units"] for entry in unit["entries"]]
            positions = [entry["position"] for entry in entries]
            return signed(connection, "statement", statement, positions, signers)

    return router


def made(
    connection: Connection, asked: Asked, now: datetime, *, default_zone: str
) -> dict[str, Any]:
    """The statement.

    Raises:
        Problem: there is none, or it does not add up.
    """
    zone = _zone(asked.time_zone or default_zone)
    month = monthly.Month.of(asked.month, zone, known_at=min(asked.known_at or now, now))
    if month.begins_at > month.known_at:
        raise bad_parameter("month", "not-begun", "the month has not begun")
    if not story.is_known(connection, asked.member):
        raise Problem(404, "unknown-member", f"nothing was recorded of {asked.member}")
    try:
        units = monthly.statement(connection, asked.member, month, unit=asked.unit)
    except monthly.TooLong as error:
        raise Problem(422, "statement-too-long", f"{error}; read the entries") from None
    except monthly.SumsDiffer as error:
        extra = {"member": asked.member, "month": asked.month}
        _LOG.exception("statement withheld", extra=extra)
        raise Problem(500, "sums-differ", "the statement does not add up") from error
    return monthly.document(asked.member, zone, month, units)


_REFUSALS = {404: "unknown-member", 422: "statement-too-long", 500: "sums-differ"}
_ANSWERS = gives({200: ("The statement.", "answers/statement")}, _REFUSALS)
_SIGNED = {**gives({}, {**_REFUSALS, 404: "unknown-member, not-signed"}), **SIGNED}
_ANSWERS[200]["content"] |= {
    _CSV: {"schema": {"type": "string"}},
    _HTML: {"schema": {"type": "string"}},
}


def _shown(request: Request, statement: dict[str, object]) -> Response:
    wanted = _wanted(request.headers.get("accept", ""))
    name = f"statement-{statement['member']}-{statement['month']}"
    if wanted == _CSV:
        headers = {**_SAFE, "Content-Disposition": f'attachment; filename="{name}.csv"'}
        return Response(printed.as_csv(statement), headers=headers, media_type=_CSV)
    if wanted == _HTML:
        return Response(printed.as_html(statement), headers=_SAFE, media_type=_HTML)
    return answer(statement, headers=_SAFE)


def _wanted(accept: str) -> str:
    """The first of ours that the caller names; JSON when it names none."""
    named = [part.split(";")[0].strip().lower() for part in accept.split(",")]
    return next((each for each in named if each in (_CSV, _HTML)), "")


def _zone(name: str) -> ZoneInfo:
    if name not in _zones():
        raise bad_parameter("time_zone", "unknown-time-zone", "name a zone as Europe/Paris")
    return ZoneInfo(name)
