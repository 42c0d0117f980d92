"""Endpoints over HTTP: made, changed, looked at, paused and taken away."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from services.notify.api_parts import (
    FOR_MERCHANT,
    PREFIX,
    READERS,
    UNKNOWN,
    WRITERS,
    instant,
    owner_of,
    page_of,
    run,
)
from services.notify.application import Notify, Wish
from services.notify.domain.endpoints import Endpoint, Ordering
from services.runtime.auth import Keys
from services.runtime.clock import rfc3339
from services.runtime.contracts import Contract
from services.runtime.openapi import MERCHANT, gives, takes
from services.runtime.web import Paging, PathId, answer, content

_ENDPOINT: Final = "answers/endpoint"


def routes(notify: Notify, keys: Keys) -> APIRouter:
    """Whoever acts for a merchant sees its endpoints; the operator by himself sees his own."""
    router = APIRouter(prefix=PREFIX, tags=["endpoints"])
    reader = Annotated[str, Depends(owner_of(keys, *READERS))]
    writer = Annotated[str, Depends(owner_of(keys, *WRITERS))]

    @router.put(
        "/{endpoint}",
        status_code=201,
        openapi_extra=takes("commands/endpoint", headers=[MERCHANT]),
        responses=gives(
            {
                200: ("It was there; what is different now holds from now on.", _ENDPOINT),
                201: ("Made; the secret is shown this once.", _ENDPOINT),
            },
            {422: "address-not-allowed", 503: "not-ready"},
        ),
    )
    async def put_endpoint(endpoint: PathId, owner: writer, request: Request) -> Response:
        """Send events to an address from now on, or from a place in the past."""
        wish = _wish(await content(request, Contract.of("commands/endpoint")))
        made, is_new = await run(partial(notify.put_endpoint, owner, endpoint, wish))
        if is_new:
            return answer({**_endpoint(made), "secret": made.secret}, 201)
        return answer(_endpoint(made))

    @router.get(
        "",
        openapi_extra=FOR_MERCHANT,
        responses=gives({200: ("Endpoints, by id.", "answers/endpoints")}),
    )
    async def get_endpoints(owner: reader, page: Paging) -> Response:
        """The endpoints of one merchant, or the operator's own."""
        read = partial(notify.endpoints, owner, after=page.after or "", limit=page.limit + 1)
        return answer(page_of(await run(read), page, _endpoint, key="id"))

    @router.get(
        "/{endpoint}",
        openapi_extra=FOR_MERCHANT,
        responses=gives({200: ("The endpoint.", _ENDPOINT)}, UNKNOWN),
    )
    async def get_endpoint(endpoint: PathId, owner: reader) -> Response:
        """An endpoint and how it is."""
        return answer(_endpoint(await run(partial(notify.endpoint, owner, endpoint))))

    @router.delete(
        "/{endpoint}",
        status_code=204,
        openapi_extra=FOR_MERCHANT,
        responses={204: {"description": "It is gone."}, **gives({}, UNKNOWN)},
    )
    async def delete_endpoint(endpoint: PathId, owner: writer) -> Response:
        """Take an endpoint away, with all that waits for it and its secret."""
        await run(partial(notify.remove_endpoint, owner, endpoint))
        return Response(status_code=204)

    @router.post(
        "/{endpoint}/pause",
        openapi_extra=FOR_MERCHANT,
        responses=gives({200: ("Nothing is sent; events wait.", _ENDPOINT)}, UNKNOWN),
    )
    async def pause(endpoint: PathId, owner: writer) -> Response:
        """Send nothing until it is resumed."""
        return answer(_endpoint(await run(partial(notify.pause_endpoint, owner, endpoint))))

    @router.post(
        "/{endpoint}/resume",
        openapi_extra=FOR_MERCHANT,
        responses=gives({200: ("What waits is sent.", _ENDPOINT)}, UNKNOWN),
    )
    async def resume(endpoint: PathId, owner: writer) -> Response:
        """Send again, and at once whatever waits for its next try."""
        return answer(_endpoint(await run(partial(notify.resume_endpoint, owner, endpoint))))

    return router


def _wish(command: Mapping[str, Any]) -> Wish:
    begins = command.get("from", "end")
    return Wish(
        url=command["url"],
        types=tuple(command["types"]),
        ordering=Ordering(command.get("ordering", "member")),
        begins_after={"end": None, "start": 0}.get(begins, begins),
    )


def _endpoint(endpoint: Endpoint) -> dict[str, object]:
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "types": endpoint.types,
        "ordering": endpoint.ordering,
        "state": endpoint.state,
        "from": endpoint.began_after,
        "created_at": rfc3339(endpoint.created_at),
        "failing_since": instant(endpoint.health.failing_since),
    }
