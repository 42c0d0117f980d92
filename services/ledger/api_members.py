"""The doors to a member's points: balances, statement, lots.

They are plain ``def``: the database blocks, so they run on threads.
"""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from services.ledger.views import balances, statement, story
from services.runtime.as_of import AsOf, Times
from services.runtime.auth import Keys, Principal, Role, authenticated
from services.runtime.clock import Clock, rfc3339
from services.runtime.database import Connection, Database
from services.runtime.openapi import gives
from services.runtime.problems import Problem, bad_parameter
from services.runtime.web import Page, Paging, PathId, answer

_PLACE_DIGITS_MAX = 16

Unit = Annotated[
    str | None, Query(pattern="^[a-z][a-z0-9_-]{0,31}$", description="Only of this unit.")
]


def routes(database: Database, clock: Clock, keys: Keys) -> APIRouter:
    """Any key may ask: a member's points are the same at every till."""
    router = APIRouter(prefix="/v1", tags=["points"])
    reader = Annotated[Principal, Depends(authenticated(keys, *Role))]

    @router.get(
        "/members/{member}/balances",
        responses=gives({200: ("By unit.", "answers/balances")}, {404: "unknown-member"}),
    )
    def get_balances(_: reader, member: PathId, times: Times) -> Response:
        """What the member can spend; or could, at another time, as far as was known by then."""
        now = clock()
        moment = _moment(times, now)
        with database.read() as connection:
            found = balances.balances(connection, member, moment=moment, now=now)
        if found is None:
            raise _unknown(member)
        at, known_at = rfc3339(moment.at), rfc3339(moment.known_at)
        return answer({"member": member, "at": at, "known_at": known_at, "balances": found})

    @router.get(
        "/members/{member}/entries",
        responses=gives({200: ("The statement.", "answers/entries")}, {404: "unknown-member"}),
    )
    def get_entries(
        _: reader, member: PathId, page: Paging, times: Times, unit: Unit = None
    ) -> Response:
        """The statement, in the order of the log; its changes sum to the balance."""
        after, moment = place(page), _moment(times, clock())
        with database.read() as connection:
            _check_known(connection, member)
            found = statement.entries(
                connection, member, after=after, limit=page.limit, moment=moment, unit=unit
            )
        return _page(found)

    @router.get(
        "/members/{member}/lots",
        responses=gives({200: ("The lots.", "answers/lots")}, {404: "unknown-member"}),
    )
    def get_lots(_: reader, member: PathId, page: Paging, times: Times) -> Response:
        """Every lot that the member earned, in the order of earning; spent and ended ones too."""
        now = clock()
        after, moment = place(page), _moment(times, now)
        with database.read() as connection:
            _check_known(connection, member)
            found = statement.lots(
                connection, member, after=after, limit=page.limit, moment=moment, now=now
            )
        return _page(found)

    return router


def _moment(times: AsOf, now: datetime) -> story.Moment:
    return story.Moment(times.at or now, times.known_at or now)


def _check_known(connection: Connection, member: str) -> None:
    if not story.is_known(connection, member):
        raise _unknown(member)


def _unknown(member: str) -> Problem:
    return Problem(404, "unknown-member", f"nothing was ever recorded of member {member}")


def place(page: Page) -> int:
    """Where in the member's story a page begins."""
    text = page.after or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= _PLACE_DIGITS_MAX):
        raise bad_parameter("after", "malformed", "take `next` of the page before")
    return int(text)


def _page(found: statement.Slice) -> Response:
    next_ = None if found.next is None else str(found.next)
    return answer({"items": found.items, "next": next_})
