"""The HTTP door of rewards: programmes, their versions, and when those hold."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Path
from starlette.requests import Request
from starlette.responses import Response

from services.rewards.application import Overview, Programmes, VersionNow
from services.rewards.domain.errors import (
    InThePast,
    NotAProgramme,
    Refused,
    UnknownProgramme,
    UnknownVersion,
)
from services.rewards.parts import NotText
from services.rewards.text import JSON_TYPE, SIZE_MAX_BYTES, YAML_TYPES
from services.runtime.auth import Keys, Role, authenticated
from services.runtime.clock import parse_rfc3339, rfc3339
from services.runtime.contracts import Contract, FieldError, decode
from services.runtime.openapi import gives, takes
from services.runtime.problems import Problem, bad_parameter, invalid
from services.runtime.web import ID_PATTERN, Paging, PathId, answer, body

TITLE: Final = "Stampbook rewards"

_Outcome = TypeVar("_Outcome")
_Number = Annotated[int, Path(ge=1, le=1_000_000, description="Counted from 1.")]
_VERSION = "programme-version"
_UNKNOWN = {404: "unknown-version"}


class LocatedError(FieldError):
    """A fault in a text: a person looks for its line."""

    line: int | None
    column: int | None


def routes(programmes: Programmes, keys: Keys) -> APIRouter:
    """Everybody with a key may read; only the operator decides what purchases earn."""
    router = APIRouter(prefix="/v1/programmes", tags=["programmes"])
    anyone = [Depends(authenticated(keys, *Role))]
    operator = [Depends(authenticated(keys, Role.OPERATOR))]

    @router.get(
        "",
        dependencies=anyone,
        responses=gives({200: ("Programmes, by name.", "answers/programmes")}),
    )
    async def get_programmes(page: Paging) -> Response:
        """Every programme, with its versions in brief."""
        if page.after is not None and re.fullmatch(ID_PATTERN, page.after) is None:
            raise bad_parameter("after", "malformed", "is no `next` of a page before")
        read = partial(programmes.page, after=page.after or "", limit=page.limit + 1)
        found = await _run(read)
        items, rest = found[: page.limit], found[page.limit :]
        return answer(
            {"items": list(map(_overview, items)), "next": items[-1].programme if rest else None}
        )

    @router.get(
        "/{programme}",
        dependencies=anyone,
        responses=gives({200: ("The programme.", "answers/programme")}, {404: "unknown-programme"}),
    )
    async def get_programme(programme: PathId) -> Response:
        """A programme, and which of its versions holds now."""
        return answer(_overview(await _run(partial(programmes.overview, programme))))

    @router.put(
        "/{programme}/versions/{number}",
        dependencies=operator,
        status_code=201,
        openapi_extra=_takes_programme(),
        responses=gives(
            {
                200: ("It says the same already.", f"answers/{_VERSION}"),
                201: ("Written down.", f"answers/{_VERSION}"),
            },
            {400: "not-yaml", 409: "id-reused"},
        ),
    )
    async def put_version(programme: PathId, number: _Number, request: Request) -> Response:
        """Write a version down, for ever; it earns nothing until it is activated."""
        text = await body(request, limit_bytes=SIZE_MAX_BYTES, types=(*YAML_TYPES, JSON_TYPE))
        media_type = request.headers["content-type"].partition(";")[0].strip().lower()
        write = partial(programmes.write_down, programme, number, text, media_type)
        found, is_new = await _run(write)
        return answer(_version(found), 201 if is_new else 200)

    @router.get(
        "/{programme}/versions/{number}",
        dependencies=anyone,
        responses=gives({200: ("The version.", f"answers/{_VERSION}")}, _UNKNOWN),
    )
    async def get_version(programme: PathId, number: _Number) -> Response:
        """A version as it was written, as it was understood, and where it stands."""
        return answer(_version(await _run(partial(programmes.find, programme, number))))

    @router.post(
        "/{programme}/versions/{number}/activate",
        dependencies=operator,
        openapi_extra=_takes_moment(),
        responses=gives(
            {200: ("It holds, or will.", f"answers/{_VERSION}")},
            {**_UNKNOWN, 409: "already-activated, version-retired"},
        ),
    )
    async def activate(programme: PathId, number: _Number, request: Request) -> Response:
        """Let a version hold from an instant on, now if none is named."""
        at = await _moment(request)
        return answer(_version(await _run(partial(programmes.activate, programme, number, at=at))))

    @router.post(
        "/{programme}/versions/{number}/retire",
        dependencies=operator,
        openapi_extra=_takes_moment(),
        responses=gives(
            {200: ("It holds no more, or will not.", f"answers/{_VERSION}")},
            {**_UNKNOWN, 409: "not-activated, version-retired"},
        ),
    )
    async def retire(programme: PathId, number: _Number, request: Request) -> Response:
        """Let a version hold no longer; no earlier one takes its place."""
        at = await _moment(request)
        return answer(_version(await _run(partial(programmes.retire, programme, number, at=at))))

    return router


async def _run(use_case: Callable[[], _Outcome]) -> _Outcome:
    """Run what blocks on a thread; what it refuses becomes a problem."""
    try:
        return await asyncio.to_thread(use_case)
    except (Refused, NotText) as refused:
        raise _problem(refused) from refused


def _problem(refused: Refused | NotText) -> Problem:
    match refused:
        case NotText(place=place, language=language):
            line, column = place or (None, None)
            error = _located("", "malformed", str(refused), line, column)
            return Problem(
                400,
                f"not-{language.lower()}",
                str(refused),
                title=f"The body is not {language}",
                errors=[error],
            )
        case NotAProgramme(faults=faults):
            return invalid(
                [_located(f.pointer, f.code, f.detail, f.line, f.column) for f in faults]
            )
        case InThePast():
            return invalid([FieldError(pointer="/at", code=refused.code, detail=str(refused))])
        case UnknownProgramme() | UnknownVersion():
            status = 404
        case _:
            status = 409
    return Problem(status, refused.code, str(refused), title=type(refused).__doc__)


def _located(
    pointer: str, code: str, detail: str, line: int | None, column: int | None
) -> FieldError:
    error = FieldError(pointer=pointer, code=code, detail=detail)
    if line is None:
        return error
    return LocatedError(**error, line=line, column=column)


async def _moment(request: Request) -> datetime | None:
    """The instant that the body names, if any; no body is an empty one."""
    has_body = "transfer-encoding" in request.headers
    if not has_body and request.headers.get("content-length", "0") == "0":
        return None
    moment = decode(await body(request))
    errors = Contract.of("commands/moment").errors(moment)
    if errors:
        raise invalid(errors)
    if "at" not in moment:
        return None
    try:
        return parse_rfc3339(moment["at"])
    except ValueError as error:
        raise invalid([FieldError(pointer="/at", code="malformed", detail=str(error))]) from error


def _takes_programme() -> dict[str, Any]:
    as_json = takes("programme")
    [media] = as_json["requestBody"]["content"].values()
    content = dict.fromkeys((YAML_TYPES[0], JSON_TYPE), media)
    return {**as_json, "requestBody": {"required": True, "content": content}}


def _takes_moment() -> dict[str, Any]:
    required = takes("commands/moment")
    return {**required, "requestBody": {**required["requestBody"], "required": False}}


def _overview(overview: Overview) -> dict[str, object]:
    return {
        "programme": overview.programme,
        "in_force": overview.in_force,
        "versions": [_brief(version) for version in overview.versions],
    }


def _brief(found: VersionNow) -> dict[str, object]:
    stored = found.stored
    return {
        "version": stored.version,
        "state": found.state,
        "created_at": rfc3339(stored.created_at),
        "activated_at": _rfc3339_or_none(stored.activated_at),
        "retired_at": _rfc3339_or_none(stored.retired_at),
    }


def _version(found: VersionNow) -> dict[str, object]:
    stored = found.stored
    return {
        "programme": stored.programme,
        **_brief(found),
        "as_understood": msgspec.Raw(stored.document),
        "as_written": {"media_type": stored.media_type, "text": stored.written},
    }


def _rfc3339_or_none(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
