"""The door that all services share: bodies, waits, pages, times, streams, the document."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response

from services.runtime.as_of import Times
from services.runtime.auth import Principal, Role, authenticated
from services.runtime.contracts import Contract
from services.runtime.health import Health
from services.runtime.openapi import MERCHANT, PREFER, gives, takes
from services.runtime.web import (
    NDJSON,
    Paging,
    PathId,
    answer,
    application,
    body,
    content,
    ndjson,
    prefer_wait_s,
    traceparent,
)
from tests.support.doors import door_to
from tests.support.keys import KnownKeys

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
JSON = {"Content-Type": "application/json"}
PURCHASE = {
    "purchased_at": "2017-01-01T12:30:27-05:00",
    "currency": "USD",
    "lines": [{"line": "1", "sku": "6602647", "quantity": 2, "amount_minor": 198}],
}


def shop() -> APIRouter:
    router = APIRouter(prefix="/v1")
    contract = Contract.of("commands/purchase")
    caller = Depends(authenticated(KnownKeys(), Role.MERCHANT))

    @router.put(
        "/purchases/{purchase_id}",
        openapi_extra=takes("commands/purchase", headers=[PREFER, MERCHANT]),
        responses=gives(
            {202: ("Safe.", "outcome")}, refuses={409: "id-reused", 422: "no-such-day"}
        ),
    )
    async def put_purchase(purchase_id: PathId, request: Request) -> Response:
        purchase = await content(request, contract)
        return answer({"id": purchase_id, "currency": purchase["currency"]}, 202)

    @router.get("/purchases", responses=gives({200: ("Some.", None)}))
    async def get_purchases(
        _: Annotated[Principal, caller], page: Paging, times: Times
    ) -> Response:
        return answer({"page": page, "times": times})

    @router.post("/bytes")
    async def post_bytes(request: Request) -> Response:
        raw = await body(request, limit_bytes=10, types=("application/json", NDJSON))
        return answer(b'{"bytes":%d}' % len(raw))

    @router.get("/wait")
    async def get_wait(request: Request) -> Response:
        return answer({"wait_s": prefer_wait_s(request, 2.0), "trace": traceparent(request)})

    return router


def client() -> httpx.AsyncClient:
    return door_to(application("Shop", "1", [shop()], health=Health()))


async def test_a_body_that_keeps_its_contract_comes_in_as_a_value() -> None:
    async with client() as door:
        response = await door.put("/v1/purchases/17", json=PURCHASE)

    assert (response.status_code, response.json()) == (202, {"id": "17", "currency": "USD"})
    assert response.headers["content-type"] == "application/json"


async def test_a_body_that_breaks_its_contract_is_told_every_field() -> None:
    async with client() as door:
        response = await door.put("/v1/purchases/17", json={"lines": [], "member": 1})

    assert (response.status_code, response.json()["code"]) == (422, "invalid")
    assert {(each["pointer"], each["code"]) for each in response.json()["errors"]} == {
        ("/purchased_at", "missing"),
        ("/currency", "missing"),
        ("/lines", "too-short"),
        ("/member", "wrong-type"),
    }


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b"1e999"])
async def test_a_body_that_does_not_parse_is_told_so(raw: bytes) -> None:
    async with client() as door:
        response = await door.put("/v1/purchases/17", content=raw, headers=JSON)

    assert (response.status_code, response.json()["code"]) == (400, "not-json")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 200),
        ({"Content-Type": "Application/JSON; Charset=UTF-8"}, 200),
        ({"Content-Type": 'application/json;charset="utf-8"'}, 200),
        ({"Content-Type": "application/x-ndjson"}, 200),
        ({}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json; charset=latin-1"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
    ],
)
async def test_only_plain_json_in_utf_8_is_read(headers: dict[str, str], status: int) -> None:
    async with client() as door:
        response = await door.post("/v1/bytes", content=b"{}", headers=headers)

    assert response.status_code == status


async def in_chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_body_up_to_its_limit_is_read() -> None:
    async with client() as door:
        whole = await door.post("/v1/bytes", content=b"x" * 10, headers=JSON)
        chunked = await door.post("/v1/bytes", content=in_chunks(b"x" * 9, b"x"), headers=JSON)

    assert whole.json() == chunked.json() == {"bytes": 10}


async def test_a_body_beyond_its_limit_is_not_read_to_its_end() -> None:
    async with client() as door:
        whole = await door.post("/v1/bytes", content=b"x" * 11, headers=JSON)
        chunked = await door.post("/v1/bytes", content=in_chunks(b"x" * 9, b"xx"), headers=JSON)

    for response in (whole, chunked):
        assert (response.status_code, response.json()["code"]) == (413, "too-large")
        assert response.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("prefer", "wait_s", "applied"),
    [
        ([], 2.0, None),
        (["wait=10"], 10.0, "wait=10"),
        (["wait=0"], 0.0, "wait=0"),
        (["WAIT = 5"], 5.0, "wait=5"),
        (['wait="7"'], 7.0, "wait=7"),
        (["wait=31"], 30.0, "wait=30"),
        (["respond-async"], None, "respond-async"),
        (["respond-async, wait=3"], 3.0, "wait=3"),
        (["handling=lenient; x=1, wait=4; y"], 4.0, "wait=4"),
        (["return=minimal", "wait=6"], 6.0, "wait=6"),
        (["wait=8, wait=9"], 8.0, "wait=8"),
        (['note="wait=9, respond-async"'], 2.0, None),
        (["wait"], 2.0, None),
        (["wait=-1"], 2.0, None),
        (["wait=soon"], 2.0, None),
        (["wait=1.5"], 2.0, None),
        (["wait=99999999999999999999"], 2.0, None),
        ([',,="'], 2.0, None),
    ],
)
async def test_waits_as_long_as_is_preferred(
    prefer: list[str], wait_s: float | None, applied: str | None
) -> None:
    async with client() as door:
        response = await door.get("/v1/wait", headers=[("Prefer", each) for each in prefer])

    assert response.json()["wait_s"] == wait_s
    assert response.headers.get("preference-applied") == applied


@pytest.mark.parametrize(("sent", "handed_on"), [(TRACE, TRACE), ("00-nonsense", None)])
async def test_the_callers_trace_is_handed_on(sent: str, handed_on: str | None) -> None:
    async with client() as door:
        response = await door.get("/v1/wait", headers={"traceparent": sent})

    assert response.json()["trace"] == handed_on


async def read_page(query: str) -> httpx.Response:
    async with client() as door:
        return await door.get(
            f"/v1/purchases?{query}", headers={"Authorization": "Bearer sb_merchant"}
        )


async def test_pages_and_times_have_defaults() -> None:
    response = await read_page("")

    assert response.json() == {
        "page": {"limit": 100, "after": None},
        "times": {"at": None, "known_at": None},
    }


@pytest.mark.parametrize("plus", ["%2B", "+"])
async def test_pages_and_times_are_read(plus: str) -> None:
    at = f"2017-01-01T12:30:27{plus}01:00"

    response = await read_page(f"limit=1000&after=42&at={at}&known_at=2018-01-01T00:00:00Z")

    assert response.json() == {
        "page": {"limit": 1000, "after": "42"},
        "times": {"at": "2017-01-01T12:30:27+01:00", "known_at": "2018-01-01T00:00:00Z"},
    }


@pytest.mark.parametrize("year", ["0999", "9000"])
async def test_an_instant_that_no_answer_could_repeat_is_refused(year: str) -> None:
    response = await read_page(f"at={year}-01-01T12:00:00Z")

    assert response.json()["errors"][0]["parameter"] == "at"


async def test_every_bad_parameter_is_named_at_once() -> None:
    response = await read_page("limit=1001&at=yesterday&known_at=2017-01-01T12:30:27")

    assert (response.status_code, response.json()["code"]) == (422, "invalid-parameter")
    assert {(each["parameter"], each["code"]) for each in response.json()["errors"]} == {
        ("limit", "out-of-range"),
        ("at", "malformed"),
        ("known_at", "malformed"),
    }


async def test_a_misspelt_parameter_is_refused_and_not_ignored() -> None:
    response = await read_page("limit=1&know_at=2018-01-01T00:00:00Z")

    assert (response.status_code, response.json()["code"]) == (422, "invalid-parameter")
    assert {(each["parameter"], each["code"]) for each in response.json()["errors"]} == {
        ("know_at", "unknown-parameter"),
    }


@pytest.mark.parametrize("id_", ["one@example.com", ".hidden", "a" * 65, "a%20b", "a%0A", "%F0%9F"])
async def test_an_id_outside_the_alphabet_is_refused(id_: str) -> None:
    async with client() as door:
        response = await door.put(f"/v1/purchases/{id_}", json=PURCHASE)

    assert response.status_code == 422
    [error] = response.json()["errors"]
    assert (error["parameter"], error["code"]) == ("purchase_id", "malformed")


def following(closed: asyncio.Event) -> FastAPI:
    """An app with one stream that never ends by itself."""
    router = APIRouter()

    async def lines() -> AsyncIterator[bytes]:
        try:
            yield b'{"position":1}\n'
            await asyncio.Event().wait()
        finally:
            closed.set()

    @router.get("/finite")
    async def finite(request: Request) -> Response:
        return ndjson(request, in_chunks(b"1\n", b"2\n"))

    @router.get("/endless")
    async def endless(request: Request) -> Response:
        return ndjson(request, lines())

    return application("Following", "1", [router], health=Health())


async def test_lines_are_streamed() -> None:
    async with door_to(following(asyncio.Event())) as door:
        response = await door.get("/finite")

    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.content == b"1\n2\n"


async def test_a_stream_that_follows_ends_when_the_process_stops() -> None:
    closed = asyncio.Event()
    app = following(closed)

    async with door_to(app) as door:
        asking = asyncio.create_task(door.get("/endless"))
        asyncio.get_running_loop().call_later(0.01, app.state.stopping.set)
        response = await asyncio.wait_for(asking, 5)

    assert response.content == b'{"position":1}\n'
    assert closed.is_set()


def test_the_document_says_what_holds_for_every_route() -> None:
    app = application("Shop", "1", [shop()], health=Health())

    document = app.openapi()
    put = document["paths"]["/v1/purchases/{purchase_id}"]["put"]
    get = document["paths"]["/v1/purchases"]["get"]

    assert document is app.openapi()
    assert document["security"] == [{"bearer": []}]
    assert set(document["paths"]) == {
        "/v1/purchases/{purchase_id}",
        "/v1/purchases",
        "/v1/bytes",
        "/v1/wait",
    }
    schema = put["requestBody"]["content"]["application/json"]["schema"]
    assert schema == Contract.of("commands/purchase").schema
    assert {each["name"] for each in put["parameters"]} == {
        "purchase_id",
        "Prefer",
        "Stampbook-Merchant",
    }
    assert set(put["responses"]) == {
        "200", "202", "400", "401", "403", "409", "413", "415", "422", "503",
    }  # fmt: skip
    assert "no-such-day" in put["responses"]["422"]["description"]
    assert set(get["responses"]) == {"200", "401", "403", "422", "503"}
    assert {"application/problem+json"} == set(get["responses"]["422"]["content"])
