"""The doors that change something, one command at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import uuid4  # noqa: TID251  # this is a door

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from services.ledger.api_outcomes import declined, id_reused, shown
from services.ledger.domain.errors import Refused
from services.ledger.intake import Command, Malformed, Rules, asked_by, command
from services.ledger.kinds import KINDS, By, Kind
from services.ledger.reception import Reception, Taken
from services.runtime.auth import Keys, Principal, Role, acting_merchant, authenticated
from services.runtime.contracts import FieldError, decode
from services.runtime.openapi import MERCHANT, PREFER, gives, takes
from services.runtime.problems import Problem, invalid
from services.runtime.web import PathId, answer, body, prefer_wait_s, traceparent

_Put = Callable[[Request, Principal, str, str], Awaitable[Response]]
WRITERS = (Role.TILL, Role.MERCHANT, Role.OPERATOR)
_READ_INLINE_BYTES_MAX = 1 << 16  # a larger body is checked on a thread


def routes(reception: Reception, rules: Rules, keys: Keys) -> APIRouter:
    """Commands go to ``intake`` whoever sends them; the writer decides them in its order."""
    router = APIRouter(prefix="/v1", tags=["commands"])
    writer = Annotated[Principal, Depends(authenticated(keys, *WRITERS))]
    put = _Door(reception, rules).put

    @router.put("/purchases/{purchase_id}", status_code=202, **_says("purchase"))
    async def put_purchase(request: Request, who: writer, purchase_id: PathId) -> Response:
        """Record a purchase: safe when this answers, recorded and rewarded moments later."""
        return await put(request, who, "purchase", purchase_id)

    @router.put("/purchases/{purchase_id}/returns/{return_id}", status_code=202, **_says("return"))
    async def put_return(
        request: Request, who: writer, purchase_id: PathId, return_id: PathId
    ) -> Response:
        """Record what came back of a purchase; it waits for a purchase that is not there yet."""
        return await put(request, who, "return", f"{purchase_id}/{return_id}")

    @router.put("/redemptions/{redemption_id}", **_says("redemption"))
    async def put_redemption(request: Request, who: writer, redemption_id: PathId) -> Response:
        """Spend points, those that end soonest first. Sent again it spends them once."""
        return await put(request, who, "redemption", redemption_id)

    @router.put("/redemptions/{redemption_id}/reversal", **_says("reversal"))
    async def put_reversal(request: Request, who: writer, redemption_id: PathId) -> Response:
        """Give points back to the very lots, each with its own end. Once per redemption."""
        return await put(request, who, "reversal", redemption_id)

    @router.put("/purchases/{purchase_id}/claim", **_says("claim"))
    async def put_claim(request: Request, who: writer, purchase_id: PathId) -> Response:
        """Make a stranger's purchase a member's, once; it earns what it would have on its day."""
        return await put(request, who, "claim", purchase_id)

    @router.put("/cards/{number}", **_says("card"))
    async def put_card(request: Request, who: writer, number: PathId) -> Response:
        """Let a card's number lead to a member, for good; or block it, for good."""
        return await put(request, who, "card", number)

    _add_holds(router, put, keys)

    operator = Annotated[Principal, Depends(authenticated(keys, Role.OPERATOR))]

    @router.put("/adjustments/{adjustment_id}", **_says("adjustment"))
    async def put_adjustment(request: Request, who: operator, adjustment_id: PathId) -> Response:
        """Grant points or withdraw some, with a reason; the log keeps whose key it was."""
        return await put(request, who, "adjustment", adjustment_id)

    return router


def _add_holds(router: APIRouter, put: _Put, keys: Keys) -> None:
    writer = Annotated[Principal, Depends(authenticated(keys, *WRITERS))]

    @router.put("/holds/{hold_id}", **_says("hold"))
    async def put_hold(request: Request, who: writer, hold_id: PathId) -> Response:
        """Set points aside until the hold is captured, released or over."""
        return await put(request, who, "hold", hold_id)

    @router.put("/holds/{hold_id}/capture", **_says("capture"))
    async def put_capture(request: Request, who: writer, hold_id: PathId) -> Response:
        """Spend what is set aside, or a part of it, which releases the rest. Once per hold."""
        return await put(request, who, "capture", hold_id)

    @router.put("/holds/{hold_id}/release", **_says("release"))
    async def put_release(request: Request, who: writer, hold_id: PathId) -> Response:
        """Give back what is set aside."""
        return await put(request, who, "release", hold_id)


@dataclass(frozen=True, slots=True)
class _Door:
    """What all commands have in common."""

    reception: Reception
    rules: Rules

    async def put(
        self,
        request: Request,
        who: Principal,
        type_: str,
        id_: str,
    ) -> Response:
        """Take one command in and answer with its outcome, as far as it is waited for."""
        merchant = acting_merchant(request, who)
        trace = traceparent(request)
        kind = KINDS[type_]
        check_role(who, kind)
        id_ = asked(kind, id_)
        is_empty = kind.is_empty_allowed and _is_empty(request)
        raw = b"{}" if is_empty else await body(request)

        def read() -> Command:
            read = command(merchant, type_, id_, decode(raw), rules=self.rules, traceparent=trace)
            check_merchant(who, read)
            return asked_by(read, who.actor)

        try:
            is_large = len(raw) > _READ_INLINE_BYTES_MAX
            wanted = await asyncio.to_thread(read) if is_large else read()
        except Malformed as bad:
            raise invalid(bad.errors) from None
        try:
            await self.reception.check_card(wanted)
        except Refused as refusal:
            error = FieldError(pointer="/card", code=refusal.code, detail=str(refusal))
            raise invalid([error]) from None
        wait_s = prefer_wait_s(request, kind.waits_s)
        [taken] = await self.reception.take([wanted], wait_s=wait_s)
        return _answered(taken, is_waiting=wait_s is not None)


def asked(kind: Kind, id_: str) -> str:
    """The whole id of a command: of what asks for a state, each time of asking is one of its own.

    So a claim that was refused since its purchase had not arrived may be asked again.
    """
    return f"{id_}/{uuid4().hex}" if kind.asks_for_state and "/" not in id_ else id_


def check_role(who: Principal, kind: Kind) -> None:
    """Not everything is for tills, and some of it is for operators only.

    Raises:
        Problem: 403 ``role-not-allowed``.
    """
    is_for_another = kind.by is By.OPERATOR and who.role is not Role.OPERATOR
    if is_for_another or (who.role is Role.TILL and not kind.is_for_tills):
        raise Problem(403, "role-not-allowed", f"no {kind.name} for a key of role {who.role}")


def check_merchant(who: Principal, wanted: Command) -> None:
    """A merchant's own key spends at this merchant's only.

    Raises:
        Malformed: the redemption names another merchant.
    """
    if who.merchant is not None and wanted.merchant != who.merchant:
        detail = "this key acts for its own merchant only"
        error = FieldError(pointer="/merchant", code="not-allowed", detail=detail)
        raise Malformed("invalid", detail, [error])


def _is_empty(request: Request) -> bool:
    headers = request.headers
    return headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers


def _answered(taken: Taken, *, is_waiting: bool) -> Response:
    """Who does not wait gets the same answer each time, whatever was decided meanwhile."""
    sent = taken.command
    outcome = taken.outcome if is_waiting else None
    if taken.is_reused:
        raise id_reused(sent)
    if outcome is not None and outcome.outcome == "declined":
        raise declined(outcome)
    line = shown(sent.type, sent.id, outcome)
    if outcome is not None and outcome.outcome == "recorded":
        return answer(line)
    return answer(line, 202, {"Location": f"/v1/outcomes/{sent.type}/{sent.id}"})


def _says(type_: str) -> dict[str, Any]:
    """What the OpenAPI document says of a door."""
    return {
        "openapi_extra": takes(f"commands/{type_}", headers=[MERCHANT, PREFER]),
        "responses": gives(
            {
                200: ("Decided: it is recorded.", "outcome"),
                202: ("Safe, and not decided yet: ask at Location.", "outcome"),
            },
            {409: ", ".join(("id-reused", *KINDS[type_].refusals))},
        ),
    }
