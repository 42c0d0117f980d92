"""Many commands at once, a line each (NDJSON); answered by as many lines, in the same order."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from services.ledger.api_commands import WRITERS, asked, check_merchant, check_role
from services.ledger.api_outcomes import id_reused, shown
from services.ledger.intake import Command, Malformed, Rules, asked_by, command
from services.ledger.kinds import FROM_OUTSIDE, KINDS
from services.ledger.reception import Reception, Taken
from services.runtime.auth import Keys, Principal, acting_merchant, authenticated
from services.runtime.contracts import Contract, NotJson, decode
from services.runtime.openapi import MERCHANT, PREFER, takes
from services.runtime.problems import Problem, invalid
from services.runtime.web import (
    BODY_BYTES_MAX,
    NDJSON,
    body,
    prefer_wait_s,
    prefers,
    traceparent,
)

LINES_MAX = 10_000
BATCH_BYTES_MAX = 16 << 20
REPEATS = "stampbook-repeats"
"""A preference: lines whose command had been recorded before this request say ``repeated``."""
_WAIT_S = 30.0
_LINES_PER_TURN = 200  # some milliseconds, then others have their turn
_ID_LENGTH_MAX = 129
_LINE = Contract.of("batch-line")
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "An outcome or a problem for each line, in the same order.",
        "content": {NDJSON: {"schema": {"type": "string"}}},
    }
}


@dataclass(frozen=True, slots=True)
class _BadLine:
    """Answered by a problem; it stops no other."""

    problem: Problem
    named: dict[str, str]  # what is readable of the command's type and id

    def shown(self) -> dict[str, object]:
        return {**self.problem.body, **self.named}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sender:
    """Who sends a batch, and by which rules it is read."""

    who: Principal
    merchant: str
    rules: Rules
    traceparent: str | None


def routes(reception: Reception, rules: Rules, keys: Keys) -> APIRouter:
    """For imports and for tills that were offline."""
    router = APIRouter(prefix="/v1", tags=["commands"])
    writer = Annotated[Principal, Depends(authenticated(keys, *WRITERS))]

    @router.post(
        "/batches",
        openapi_extra=takes("batch-line", media_type=NDJSON, headers=[MERCHANT, PREFER]),
        responses=_ANSWER,
    )
    async def post_batch(request: Request, who: writer) -> Response:
        """Up to 10,000 commands; a bad line stops no other. Waits for the decisions, up to 30 s."""
        sender = _Sender(
            who=who,
            merchant=acting_merchant(request, who),
            rules=rules,
            traceparent=traceparent(request),
        )
        wait_s = prefer_wait_s(request, _WAIT_S)
        shows_repeats = prefers(request, REPEATS)
        lines = _lines(await body(request, limit_bytes=BATCH_BYTES_MAX, types=(NDJSON,)))
        found: list[Command | _BadLine] = []
        for start in range(0, len(lines), _LINES_PER_TURN):
            found += await asyncio.to_thread(
                _read_all, lines[start : start + _LINES_PER_TURN], sender
            )
        commands = [each for each in found if isinstance(each, Command)]
        taken = await reception.take(commands, wait_s=wait_s)
        raw = await asyncio.to_thread(_shown_all, found, taken, shows_repeats=shows_repeats)
        return Response(raw, media_type=NDJSON)

    return router


def _lines(raw: bytes) -> list[bytes]:
    """The lines that hold something.

    Raises:
        Problem: 422 ``too-many-lines``.
    """
    if raw.count(b"\n") - raw.endswith(b"\n") >= LINES_MAX:
        raise Problem(422, "too-many-lines", f"a batch has at most {LINES_MAX} lines")
    return [line for line in raw.split(b"\n") if line.strip()]


def _read_all(lines: Sequence[bytes], sender: _Sender) -> list[Command | _BadLine]:
    return [_read(line, sender) for line in lines]


def _read(raw: bytes, sender: _Sender) -> Command | _BadLine:
    if len(raw) > BODY_BYTES_MAX:
        detail = f"a line has at most {BODY_BYTES_MAX} bytes"
        return _BadLine(Problem(413, "too-large", detail), {})
    try:
        line = decode(raw)
    except NotJson as error:
        return _BadLine(Problem(400, "not-json", f"the line is not JSON: {error}"), {})
    if not isinstance(line, dict):
        return _BadLine(invalid(_LINE.errors(line)), {})
    name = _name(line)
    errors = _LINE.errors(name)
    wanted: Command | None = None
    try:
        wanted = _command(name, line, sender)
    except Malformed as bad:
        errors += bad.errors
    except Problem as problem:
        return _BadLine(problem, _readable(name))
    if errors or wanted is None:
        return _BadLine(invalid(errors), _readable(name))
    return wanted


def _name(line: dict[str, Any]) -> dict[str, Any]:
    """Take type and id out of a line; a return may name its purchase in a field of its own."""
    name: dict[str, Any] = {field: line.pop(field) for field in ("type", "id") if field in line}
    is_in_two = name.get("type") == "return" and isinstance(line.get("purchase"), str)
    if is_in_two and isinstance(name.get("id"), str):
        name["id"] = f"{line.pop('purchase')}/{name['id']}"
    return name


def _command(name: dict[str, Any], line: dict[str, Any], sender: _Sender) -> Command | None:
    """The command, if there is one of this type, whatever its id."""
    type_, id_ = name.get("type"), name.get("id")
    if type_ not in FROM_OUTSIDE:
        return None
    check_role(sender.who, KINDS[type_])
    wanted = command(
        sender.merchant,
        type_,
        asked(KINDS[type_], id_) if isinstance(id_, str) else "",
        line,
        rules=sender.rules,
        traceparent=sender.traceparent,
    )
    check_merchant(sender.who, wanted)
    return asked_by(wanted, sender.who.actor)


def _readable(name: dict[str, Any]) -> dict[str, str]:
    """``type`` is the problem's own, so the command's is called by another name."""
    found: dict[str, str] = {}
    if name.get("type") in FROM_OUTSIDE:
        found["command"] = name["type"]
    if isinstance(name.get("id"), str) and len(name["id"]) <= _ID_LENGTH_MAX:
        found["id"] = name["id"]
    return found


def _shown_all(
    found: Sequence[Command | _BadLine], taken: Sequence[Taken], *, shows_repeats: bool
) -> bytes:
    """The answer: a line for each line."""
    decided = iter(taken)
    lines = [
        each.shown()
        if isinstance(each, _BadLine)
        else _shown(next(decided), shows_repeats=shows_repeats)
        for each in found
    ]
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def _shown(taken: Taken, *, shows_repeats: bool) -> dict[str, object]:
    sent = taken.command
    if taken.is_reused:
        return _BadLine(id_reused(sent), {"command": sent.type, "id": sent.id}).shown()
    line = shown(sent.type, sent.id, taken.outcome)
    if shows_repeats and taken.is_repeated and line["outcome"] == "recorded":
        line["repeated"] = True
    return line
