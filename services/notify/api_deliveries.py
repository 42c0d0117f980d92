"""Deliveries over HTTP: what was sent, what waits, and sending it again."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from services.notify.api_parts import (
    FOR_MERCHANT,
    PREFIX,
    READERS,
    UNKNOWN,
    WRITERS,
    instant,
    number,
    owner_of,
    page_of,
    run,
)
from services.notify.application import Lag, Notify
from services.notify.domain.retries import Attempt
from services.notify.store.history import Delivery
from services.notify.store.replays import Asked, Replay, Scope
from services.runtime.auth import Keys
from services.runtime.clock import parse_rfc3339, rfc3339
from services.runtime.contracts import Contract, FieldError
from services.runtime.openapi import MERCHANT, gives, takes
from services.runtime.problems import invalid
from services.runtime.web import Paging, PathId, answer, content

_State = Annotated[
    Literal["waiting", "delivered", "failed"] | None, Query(description="Only those; else all.")
]


def routes(notify: Notify, keys: Keys) -> APIRouter:
    """Of an endpoint that the caller may see."""
    router = APIRouter(prefix=PREFIX, tags=["endpoints"])
    reader = Annotated[str, Depends(owner_of(keys, *READERS))]
    writer = Annotated[str, Depends(owner_of(keys, *WRITERS))]

    @router.post(
        "/{endpoint}/replay",
        status_code=202,
        openapi_extra=takes("commands/replay", headers=[MERCHANT]),
        responses=gives(
            {202: ("It has begun.", "answers/replay")}, {**UNKNOWN, 409: "too-many-replays"}
        ),
    )
    async def replay(endpoint: PathId, owner: writer, request: Request) -> Response:
        """Send events again: same ids, same bytes, in the order of the log per member."""
        asked = _asked(await content(request, Contract.of("commands/replay")))
        begun = await run(partial(notify.replay, owner, endpoint, asked))
        return answer(_replay(begun), 202)

    @router.get(
        "/{endpoint}/replays",
        openapi_extra=FOR_MERCHANT,
        responses=gives({200: ("Oldest first.", "answers/replays")}, UNKNOWN),
    )
    async def get_replays(endpoint: PathId, owner: reader, page: Paging) -> Response:
        """What was asked to be sent again, and how far that is."""
        after = number(page, default=-1)
        read = partial(notify.replays, owner, endpoint, after=after, limit=page.limit + 1)
        return answer(page_of(await run(read), page, _replay, key="id"))

    @router.get(
        "/{endpoint}/deliveries",
        openapi_extra=FOR_MERCHANT,
        responses=gives({200: ("In the order of the log.", "answers/deliveries")}, UNKNOWN),
    )
    async def get_deliveries(
        endpoint: PathId, owner: reader, page: Paging, state: _State = None
    ) -> Response:
        """What was and is to be sent, each with its attempts."""
        after, limit = number(page, default=0), page.limit + 1
        read = partial(notify.deliveries, owner, endpoint, state=state, after=after, limit=limit)
        return answer(page_of(await run(read), page, _delivery, key="position"))

    @router.get(
        "/{endpoint}/lag",
        openapi_extra=FOR_MERCHANT,
        responses=gives({200: ("How far it is behind.", "answers/lag")}, UNKNOWN),
    )
    async def get_lag(endpoint: PathId, owner: reader) -> Response:
        """What waits for an endpoint, and since when."""
        return answer(_lag(await run(partial(notify.lag, owner, endpoint))))

    return router


def _asked(command: Mapping[str, Any]) -> Asked:
    since = None
    if "since" in command:
        try:
            since = parse_rfc3339(command["since"])
        except ValueError as error:
            detail = str(error)
            raise invalid(
                [FieldError(pointer="/since", code="malformed", detail=detail)]
            ) from error
    types = command.get("types")
    return Asked(
        after=command.get("after", 0),
        since=since,
        types=None if types is None else tuple(types),
        scope=Scope(command.get("only", "all")),
    )


def _replay(replay: Replay) -> dict[str, object]:
    asked = replay.asked
    return {
        "id": replay.number,
        "state": replay.state,
        "after": asked.after,
        **({"since": rfc3339(asked.since)} if asked.since else {}),
        **({"types": asked.types} if asked.types else {}),
        "only": asked.scope,
        "records_read": replay.records_read,
        "records_to_read": replay.records_to_read,
        "queued": replay.queued,
        "created_at": rfc3339(replay.created_at),
        "finished_at": instant(replay.finished_at),
    }


def _delivery(delivery: Delivery) -> dict[str, object]:
    return {
        "event": delivery.event_id,
        "type": delivery.type,
        "position": delivery.position,
        **({"member": delivery.member} if delivery.member else {}),
        "state": delivery.state,
        "attempts": [_attempt(attempt) for attempt in delivery.attempts],
        "next_try_at": instant(delivery.next_try_at),
    }


def _attempt(attempt: Attempt) -> dict[str, object]:
    return {
        "at": rfc3339(attempt.at),
        **({"status": attempt.status} if attempt.status else {}),
        "latency_ms": attempt.latency_ms,
        **({"error": attempt.error} if attempt.error else {}),
        **({"answer": attempt.answer} if attempt.answer else {}),
    }


def _lag(lag: Lag) -> dict[str, object]:
    return {
        "position": lag.position,
        "log_end": lag.log_end,
        "events": lag.backlog.events,
        "oldest_s": round(lag.seconds, 3),
        "next_try_at": instant(lag.backlog.next_try_at),
        "failing_since": instant(lag.failing_since),
    }
