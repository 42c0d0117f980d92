"""Problems (RFC 9457): how every refusal looks, and what becomes of what surfaces at a door."""

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import TypedDict

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from services.runtime.contracts import FieldError, NotJson
from services.runtime.database import DatabaseUnavailable
from services.runtime.stream import StreamUnavailable

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_CODE_BY_STATUS = {404: "not-found", 405: "method-not-allowed"}
_CODE_BY_PYDANTIC_TYPE = {
    "missing": "missing",
    "string_pattern_mismatch": "malformed",
    "string_too_long": "too-long",
    "string_too_short": "too-short",
    "greater_than_equal": "out-of-range",
    "less_than_equal": "out-of-range",
    "enum": "not-allowed",
    "literal_error": "not-allowed",
}


class ParameterError(TypedDict):
    """One bad parameter of path, query or headers, as `FieldError` is one bad field of the body."""

    parameter: str
    code: str
    detail: str


class Problem(Exception):
    """A refusal on its way to the caller: ``raise`` it in a route, or in what a route calls.

    ``extensions`` are members of the body beside the standard ones, such as ``points_available``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        title: str | None = None,
        errors: Sequence[FieldError | ParameterError] = (),
        headers: Mapping[str, str] | None = None,
        **extensions: object,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.headers = dict(headers or {})
        if status in {429, 503}:
            self.headers.setdefault("Retry-After", str(RETRY_AFTER_S))
        self.body: dict[str, object] = {
            "type": f"urn:stampbook:problem:{code}",
            "title": title or code.replace("-", " ").capitalize(),
            "status": status,
            "detail": detail,
            "code": code,
            **({"errors": errors} if errors else {}),
            **extensions,
        }

    def response(self) -> Response:
        """What the caller sees."""
        body = msgspec.json.encode(self.body)
        return Response(body, self.status, headers=self.headers, media_type=MEDIA_TYPE)


def invalid(errors: Sequence[FieldError]) -> Problem:
    """The body parses and breaks its contract: every bad field is named at once."""
    count = "one field is" if len(errors) == 1 else f"{len(errors)} fields are"
    return Problem(422, "invalid", f"{count} not as the contract says", errors=errors)


def bad_parameters(errors: Sequence[ParameterError]) -> Problem:
    """Something in the path, the query or the headers is not what it has to be."""
    names = ", ".join(error["parameter"] for error in errors)
    return Problem(422, "invalid-parameter", f"not usable: {names}", errors=errors)


def bad_parameter(parameter: str, code: str, detail: str) -> Problem:
    """One parameter of path, query or headers is not what it has to be."""
    return bad_parameters([ParameterError(parameter=parameter, code=code, detail=detail)])


def unavailable(detail: str) -> Problem:
    """What the answer needs cannot be reached or is full; the same request may be sent again."""
    return Problem(503, "unavailable", detail)


def internal_error(error: Exception) -> Problem:
    """Our fault. The log knows the rest under the id that the caller is told."""
    fault = secrets.token_hex(8)
    logger.error("a request failed", exc_info=error, extra={"fault": fault})
    detail = "the fault is ours and was logged; whoever runs this finds it by its id"
    return Problem(500, "internal-error", detail, fault=fault)


def install(app: FastAPI) -> None:
    """Let every exception that reaches the app's edge leave it as a problem."""

    async def answer(_: Request, error: Exception) -> Response:
        return as_problem(error).response()

    async def answer_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _of_http(request, error).response()

    for kind in (
        Problem,
        NotJson,
        RequestValidationError,
        ClientDisconnect,
        DatabaseUnavailable,
        StreamUnavailable,
    ):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(HTTPException, answer_http)


def as_problem(error: Exception) -> Problem:
    """The problem that an exception amounts to, for a request or for one line of a batch."""
    match error:
        case Problem():
            return error
        case NotJson():
            return Problem(400, "not-json", f"this is not JSON: {error}", title="Not JSON")
        case RequestValidationError():
            return bad_parameters([_parameter_error(each) for each in error.errors()])
        case ClientDisconnect():
            return Problem(400, "disconnected", "the request ended before its body did")
        case DatabaseUnavailable() | StreamUnavailable():
            logger.warning("unavailable", extra={"reason": str(error)})
            return unavailable("a store cannot be reached or is full; send it again shortly")
        case _:
            return internal_error(error)


def _of_http(request: Request, error: HTTPException) -> Problem:
    status = error.status_code
    phrase = HTTPStatus(status).phrase
    code = _CODE_BY_STATUS.get(status, phrase.lower().replace(" ", "-"))
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods_allowed(request.app, request.scope))
    detail = error.detail if error.detail != phrase else f"{request.method} {request.url.path}"
    return Problem(status, code, detail, headers=headers)


def _methods_allowed(app: FastAPI, scope: Scope) -> Iterable[str]:
    """Every method of this path: the framework names those of the first route only."""
    for method in _METHODS:
        probe = {**scope, "method": method}
        if any(route.matches(probe)[0] is Match.FULL for route in app.routes):
            yield method


def _parameter_error(error: Mapping[str, object]) -> ParameterError:
    """FastAPI's finding about a parameter in our words; bodies are never parsed by FastAPI."""
    place = error["loc"]
    assert isinstance(place, tuple)
    code = _CODE_BY_PYDANTIC_TYPE.get(str(error["type"]), "malformed")
    detail = str(error["msg"]).removeprefix("Value error, ")
    return ParameterError(parameter=str(place[-1]), code=code, detail=detail)
