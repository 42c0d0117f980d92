"""The door to a member's statement of a month: as JSON, as CSV, or as a page fit for printing."""

import logging
from functools import cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from services.ledger.api_members import Unit
from services.ledger.api_reports import KnownAt, Month
from services.ledger.views import monthly, printed, story
from services.runtime.auth import Keys, Principal, Role, authenticated
from services.runtime.clock import Clock
from services.runtime.database import Database
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


def routes(database: Database, clock: Clock, keys: Keys, *, time_zone: str) -> APIRouter:
    """Any key may ask, as for the balance."""
    router = APIRouter(prefix="/v1", tags=["points"])
    reader = Annotated[Principal, Depends(authenticated(keys, *Role))]

    @router.get("/members/{member}/statements/{month}", responses=_ANSWERS)
    def get_statement(  # each is a part of the address
        request: Request,
        _: reader,
        member: PathId,
        month: Month,
        unit: Unit = None,
        time_zone: Zone = time_zone,
        known_at: KnownAt = None,
    ) -> Response:
        """A month: opening, entries, closing, what ends next; checked against the ledger."""
        zone = _zone(time_zone or "UTC")
        now = clock()
        asked = monthly.Month.of(month, zone, known_at=min(known_at or now, now))
        if asked.begins_at > asked.known_at:
            raise bad_parameter("month", "not-begun", "the month has not begun")
        try:
            with database.read() as connection:
                if not story.is_known(connection, member):
                    raise Problem(404, "unknown-member", f"nothing was recorded of {member}")
                units = monthly.statement(connection, member, asked, unit=unit)
        except monthly.TooLong as error:
            raise Problem(422, "statement-too-long", f"{error}; read the entries") from None
        except monthly.SumsDiffer as error:
            _LOG.exception("statement withheld", extra={"member": member, "month": month})
            raise Problem(500, "sums-differ", "the statement does not add up") from error
        return _shown(request, monthly.document(member, zone, asked, units))

    return router


_ANSWERS: dict[int | str, dict[str, Any]] = gives(
    {200: ("The statement.", "answers/statement")},
    {404: "unknown-member", 422: "statement-too-long", 500: "sums-differ"},
)
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
