"""Every answer that a story meets is held against contracts/, by Python's own validator."""

import re
from typing import Any

import httpx

from tests.support.contracts import SCHEMAS, blamed, reference_to

PROBLEM_TYPE = "application/problem+json"
_ID = r"[^/]+"
_OUTCOME = (
    rf"PUT /v1/(purchases/{_ID}(/returns/{_ID}|/claim)?|redemptions/{_ID}(/reversal)?|cards/{_ID})"
)
_CONTRACTS = [
    (_OUTCOME, "outcome"),
    (rf"PUT /v1/holds/{_ID}(/(capture|release))?", "outcome"),
    (rf"PUT /v1/adjustments/{_ID}", "outcome"),
    (rf"GET /v1/outcomes/{_ID}/.+", "outcome"),
    (rf"GET /v1/members/{_ID}/balances", "answers/balances"),
    (rf"GET /v1/members/{_ID}/entries", "answers/entries"),
    (rf"GET /v1/members/{_ID}/lots", "answers/lots"),
    (rf"GET /v1/entries/{_ID}/why", "answers/why"),
    (rf"GET /v1/purchases/{_ID}", "answers/purchase"),
    (rf"GET /v1/cards/{_ID}", "answers/card"),
    (rf"GET /v1/members/{_ID}/cards", "answers/cards"),
    (r"GET /v1/events", "answers/events"),
    (r"GET /v1/checkpoint/keys", "answers/signing-keys"),
    (r"GET /v1/proofs/inclusion", "answers/inclusion-proof"),
    (r"GET /v1/proofs/consistency", "answers/consistency-proof"),
    (r"GET /v1/proofs/events", "proof-bundle"),
    (r"GET /v1/dead-letters", "answers/dead-letters"),
    (rf"GET /v1/dead-letters/{_ID}", "answers/dead-letter"),
    (rf"POST /v1/dead-letters/{_ID}/(retry|drop)", "answers/dead-letter"),
    (r"POST /v1/keys", "answers/key"),
    (r"GET /v1/keys", "answers/keys"),
    (r"GET /v1/keys/self", "answers/principal"),
    (rf"(PUT|GET) /v1/programmes/{_ID}/versions/\d+", "answers/programme-version"),
    (rf"POST /v1/programmes/{_ID}/versions/\d+/(activate|retire)", "answers/programme-version"),
    (rf"GET /v1/programmes/{_ID}", "answers/programme"),
    (r"GET /v1/programmes", "answers/programmes"),
    (rf"(PUT|GET) /v1/endpoints/{_ID}", "answers/endpoint"),
    (r"GET /v1/endpoints", "answers/endpoints"),
    (rf"POST /v1/endpoints/{_ID}/(pause|resume|secret/rotate)", "answers/endpoint"),
    (rf"GET /v1/endpoints/{_ID}/deliveries", "answers/deliveries"),
    (rf"GET /v1/endpoints/{_ID}/lag", "answers/lag"),
    (rf"POST /v1/endpoints/{_ID}/replay", "answers/replay"),
    (rf"GET /v1/endpoints/{_ID}/replays", "answers/replays"),
]
_WAITING = "answers/waiting-returns"

_LINES = ("/v1/batches", "/v1/verification", "/v1/checkpoint", "/v1/export")


def check(answer: httpx.Response) -> None:
    """A hook of httpx: fails when an answer is not what the contract says."""
    request = answer.request
    if "x-ndjson" in request.headers.get("accept", "") or not request.url.path.startswith("/v1/"):
        return
    path = request.url.path
    if path in ("/v1/batches", "/v1/verification", "/v1/export") or "/v1/views/" in path:
        return
    answer.read()
    where = f"{request.method} {request.url.path} -> {answer.status_code} {answer.text[:400]}"
    assert answer.status_code < 500, where
    if answer.is_error:
        assert answer.headers["content-type"] == PROBLEM_TYPE, where
        problem = answer.json()
        assert problem["status"] == answer.status_code, where
        assert not blamed(reference_to("problem"), problem), where
        return
    is_note = answer.headers.get("content-type", "").startswith("text/plain")
    if is_note or answer.status_code == httpx.codes.NO_CONTENT:
        return
    wrong = blamed(reference_to(contract_of(request)), answer.json())
    assert not wrong, f"{wrong} of {where}"


def contract_of(request: httpx.Request) -> str:
    """The contract that a good answer to this request keeps."""
    if request.url.params.get("waiting") == "true":
        return _WAITING
    called = f"{request.method} {request.url.path}"
    found = [name for pattern, name in _CONTRACTS if re.fullmatch(pattern, called)]
    assert found, f"no contract is named for {called}"
    assert found[0] in SCHEMAS, f"contracts/ has no {found[0]}"
    return found[0]


def check_event(event: dict[str, Any]) -> None:
    """An event keeps the contract of its type, wherever it was read."""
    name = event["type"].removeprefix("stampbook.")
    assert not blamed(reference_to(f"events/{name}"), event), event
