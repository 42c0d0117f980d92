"""What the doors of notify share: whose endpoints are meant, and how refusals and pages look."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Final, TypeVar

from fastapi import Depends
from starlette.requests import Request

from services.notify.domain.errors import (
    AddressNotAllowed,
    MalformedUrl,
    NotReady,
    Refused,
    UnknownEndpoint,
)
from services.notify.store.endpoints import OPERATOR
from services.runtime.auth import (
    MERCHANT_HEADER,
    Keys,
    Principal,
    Role,
    acting_merchant,
    authenticated,
)
from services.runtime.clock import rfc3339
from services.runtime.contracts import FieldError
from services.runtime.openapi import MERCHANT
from services.runtime.problems import Problem, bad_parameter, invalid
from services.runtime.web import Page

PREFIX: Final = "/v1/endpoints"
FOR_MERCHANT: Final = {"parameters": [MERCHANT]}
UNKNOWN: Final = {404: "unknown-endpoint"}
READERS = (Role.MERCHANT, Role.OPERATOR, Role.AUDITOR)
WRITERS = (Role.MERCHANT, Role.OPERATOR)

_Outcome = TypeVar("_Outcome")


def owner_of(keys: Keys, *roles: Role) -> Callable[..., Awaitable[str]]:
    """A dependency: whose endpoints a request is about, if its key has one of these roles."""

    async def owner(
        request: Request, caller: Annotated[Principal, Depends(authenticated(keys, *roles))]
    ) -> str:
        if caller.merchant is None and MERCHANT_HEADER not in request.headers:
            return OPERATOR
        return acting_merchant(request, caller)

    return owner


async def run(use_case: Callable[[], _Outcome]) -> _Outcome:
    """Run what blocks on a thread; what it refuses becomes a problem."""
    try:
        return await asyncio.to_thread(use_case)
    except Refused as refused:
        raise _problem(refused) from refused


def _problem(refused: Refused) -> Problem:
    code, detail = refused.code, str(refused)
    if isinstance(refused, MalformedUrl | AddressNotAllowed):
        error = FieldError(pointer="/url", code=code, detail=detail)
        if isinstance(refused, MalformedUrl):
            return invalid([error])
        return Problem(422, code, detail, title=type(refused).__doc__, errors=[error])
    status = 409
    if isinstance(refused, UnknownEndpoint):
        status = 404
    elif isinstance(refused, NotReady):
        status = 503
    return Problem(status, code, detail, title=type(refused).__doc__)


def number(page: Page, *, default: int) -> int:
    """A cursor that is a position or a number."""
    if page.after is None:
        return default
    if not (page.after.isascii() and page.after.isdigit() and len(page.after) <= 16):  # noqa: PLR2004
        raise bad_parameter("after", "malformed", "is no `next` of this list")
    return int(page.after)


def page_of(
    found: list[_Outcome],
    page: Page,
    shown: Callable[[_Outcome], dict[str, object]],
    *,
    key: str,
) -> dict[str, object]:
    items = [shown(each) for each in found[: page.limit]]
    return {"items": items, "next": items[-1][key] if len(found) > page.limit else None}


def instant(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
