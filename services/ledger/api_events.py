"""The door to the log: page by page, or as a stream that may follow it for ever."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from services.ledger.views import log
from services.ledger.waiting import Bell
from services.runtime.auth import Keys, Principal, Role, authenticated, bearer
from services.runtime.contracts import Contract
from services.runtime.database import Database
from services.runtime.web import ID_PATTERN, JSON, NDJSON, answer, ndjson

_PAGE_SIZE = 100
_STREAM_PAGE_SIZE = 500
_HEARTBEAT_S = 15.0
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events as the log holds them; as NDJSON a line each, and empty lines "
        "while nothing happens.",
        "content": {
            JSON: {"schema": Contract.of("answers/events").schema},
            NDJSON: {"schema": {"type": "string"}},
        },
    }
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which part of the log."""

    after: Annotated[
        str, Query(pattern="^[0-9]{1,16}$", description="`next` of the page before, or a position.")
    ] = "0"
    type: Annotated[
        str | None,
        Query(
            pattern=log.TYPE_PATTERN,
            max_length=128,
            description="In full, or as endpoints name them: `points.earned`, `points.*`, `*`.",
        ),
    ] = None
    member: Annotated[str | None, Query(pattern=ID_PATTERN, description="Only this member's.")] = (
        None
    )
    limit: Annotated[
        int | None, Query(ge=1, le=1000, description="Events at most; a stream needs none.")
    ] = None
    follow: Annotated[bool, Query(description="Go on as events are recorded, as NDJSON.")] = False


Wanted = Annotated[_Wanted, Depends()]


def routes(database: Database, bell: Bell, keys: Keys) -> APIRouter:
    """A merchant's key sees what concerns this merchant."""
    router = APIRouter(prefix="/v1", tags=["events"])
    reader = Annotated[Principal, Depends(authenticated(keys, *Role))]
    reading = _Reading(database, bell)

    @router.get("/events", responses=_ANSWERS)
    async def get_events(request: Request, who: reader, wanted: Wanted) -> Response:
        """The log in order. `next` is always where to go on; a page may be short before that."""
        query = log.Query(type=wanted.type, member=wanted.member, merchant=who.merchant)
        after = int(wanted.after)
        if wanted.follow or NDJSON in request.headers.get("accept", ""):
            secret = bearer(request)

            async def is_let_in() -> bool:
                return await keys.find(secret) is not None

            followed = is_let_in if wanted.follow else None
            lines = reading.lines(query, after, limit=wanted.limit, goes_on=followed)
            return ndjson(request, lines)
        page = await reading.page(query, after, limit=wanted.limit or _PAGE_SIZE)
        items = b",".join(page.events)
        return answer(b'{"items":[%b],"next":"%d"}' % (items, page.next))

    return router


@dataclass(frozen=True, slots=True)
class _Reading:
    """Reads the log without holding a thread while there is nothing to read."""

    database: Database
    bell: Bell

    async def page(self, query: log.Query, after: int, *, limit: int) -> log.Page:
        return await asyncio.to_thread(self._page, query, after, limit)

    async def lines(
        self,
        query: log.Query,
        after: int,
        *,
        limit: int | None,
        goes_on: Callable[[], Awaitable[bool]] | None,
    ) -> AsyncIterator[bytes]:
        """Events, a line each, to the end of the log; or beyond it, with a sign of life.

        ``goes_on`` is asked before each look beyond: a key that was revoked reads no further.
        """
        left = sys.maxsize if limit is None else limit
        while left:
            rung = self.bell.next()
            page = await self.page(query, after, limit=min(left, _STREAM_PAGE_SIZE))
            after = page.next
            left -= len(page.events)
            if page.events:
                yield b"\n".join(page.events) + b"\n"
            if not page.is_end or not left:
                continue
            if goes_on is None:
                return
            try:
                await asyncio.wait_for(rung.wait(), _HEARTBEAT_S)
            except TimeoutError:
                yield b"\n"
            if not await goes_on():
                return

    def _page(self, query: log.Query, after: int, limit: int) -> log.Page:
        with self.database.read() as connection:
            return log.page(connection, query, after=after, limit=limit)
