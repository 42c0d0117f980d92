"""The OpenAPI document of an app, in which contracts/ speaks for bodies and answers.

Routes read raw bytes, so FastAPI cannot see what goes in and out of them; they say it with `takes`
and `gives`. What holds for every route is written down once, here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request

from services.runtime.contracts import Contract
from services.runtime.problems import MEDIA_TYPE, ParameterError, bad_parameters

Json = dict[str, Any]

MERCHANT: Json = {
    "name": "Stampbook-Merchant",
    "in": "header",
    "description": "Whom an operator's key acts for; a merchant's key needs none.",
    "schema": {"type": "string"},
}
PREFER: Json = {
    "name": "Prefer",
    "in": "header",
    "description": "RFC 7240: `wait=N` waits up to N seconds (≤ 30); `respond-async` does not.",
    "schema": {"type": "string"},
}

_FASTAPIS_PROBLEMS = {"HTTPValidationError", "ValidationError"}
_CODES = {
    401: "key-missing, key-unknown",
    403: "role-not-allowed",
    422: "invalid-parameter",
    503: "unavailable",
}
_CODES_OF_BODIES = {
    400: "not-json",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid, invalid-parameter",
}


def takes(
    contract: str, *, media_type: str = "application/json", headers: Sequence[Json] = ()
) -> Json:
    """A route's ``openapi_extra``: its body keeps the contract of this name."""
    media = {media_type: {"schema": Contract.of(contract).schema}}
    return {"requestBody": {"required": True, "content": media}, "parameters": list(headers)}


def gives(
    answers: Mapping[int, tuple[str, str | None]], refuses: Mapping[int, str] | None = None
) -> dict[int | str, Json]:
    """A route's ``responses``.

    Args:
        answers: by status, what it means and the name of the contract that the body keeps.
        refuses: by status, the codes of the problems, beside those that every route has.
    """
    found: dict[int | str, Json] = {}
    for status, (meaning, contract) in answers.items():
        schema = {} if contract is None else Contract.of(contract).schema
        found[status] = {
            "description": meaning,
            "content": {"application/json": {"schema": schema}},
        }
    for status, codes in (refuses or {}).items():
        found[status] = _problem(codes)
    return found


def complete(document: Json) -> Json:
    """Write into FastAPI's document, once, what holds for every route: key and problems."""
    if "security" in document:
        return document
    document["security"] = [{"bearer": []}]
    components = document.setdefault("components", {})
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    of_routes = components.get("schemas", {})  # such as the choices of a parameter
    components["schemas"] = {
        "Problem": Contract.of("problem").schema,
        **{name: schema for name, schema in of_routes.items() if name not in _FASTAPIS_PROBLEMS},
    }
    for path in document["paths"].values():
        for operation in path.values():
            _complete(operation)
    return document


async def refuse_unknown_parameters(request: Request) -> None:
    """A dependency of every route: a misspelt ``known_at`` must not be answered with today.

    Raises:
        Problem: 422 for a query parameter that the document does not know.
    """
    if not request.query_params:
        return
    paths = request.app.openapi()["paths"]
    path = request.scope["route"].path_format  # as the document writes it, without converters
    operation = paths.get(path, {}).get(request.method.lower())
    if operation is None:
        return  # not in the document: health and the document itself
    known = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise bad_parameters(
            [
                ParameterError(parameter=name, code="unknown-parameter", detail="is not known here")
                for name in unknown
            ]
        )


def _complete(operation: Json) -> None:
    responses = operation["responses"]
    codes = dict(_CODES)
    if "requestBody" in operation:
        codes |= _CODES_OF_BODIES
    for status, always in codes.items():
        own = responses.get(str(status), {})
        is_ours = MEDIA_TYPE in own.get("content", {})  # and not FastAPI's idea of a 422
        responses[str(status)] = _problem(f"{always}, {own['description']}" if is_ours else always)
    operation["responses"] = dict(sorted(responses.items()))


def _problem(codes: str) -> Json:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": codes, "content": {MEDIA_TYPE: {"schema": schema}}}
