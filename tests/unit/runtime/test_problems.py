"""Whatever goes wrong at a door leaves it as a problem, and tells no secret."""

import logging

import httpx
import pytest
from fastapi import APIRouter

from services.runtime.contracts import Contract
from services.runtime.database import DatabaseUnavailable
from services.runtime.health import Health
from services.runtime.problems import Problem
from services.runtime.stream import StreamFull, StreamUnavailable
from services.runtime.web import application
from tests.support.doors import door_to

ERRORS = {
    "problem": Problem(409, "id-reused", "recorded before with other content", recorded_at="…"),
    "busy": Problem(429, "too-many-requests", "slower, please", headers={"Retry-After": "7"}),
    "database": DatabaseUnavailable("postgresql://ledger:secret@db is away"),
    "stream": StreamUnavailable("broker 1 is away"),
    "full": StreamFull("20000 messages wait"),
    "fault": ZeroDivisionError("secret"),
}


def failing() -> APIRouter:
    router = APIRouter()

    @router.get("/things/{kind}")
    async def read(kind: str) -> None:
        raise ERRORS[kind]

    @router.put("/things/{kind}")
    async def write(kind: str) -> None:
        raise ERRORS[kind]

    return router


def client() -> httpx.AsyncClient:
    return door_to(application("Failing", "1", [failing()], health=Health()))


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/things/problem", 409, "id-reused"),
        ("GET", "/things/busy", 429, "too-many-requests"),
        ("GET", "/things/database", 503, "unavailable"),
        ("GET", "/things/stream", 503, "unavailable"),
        ("GET", "/things/full", 503, "unavailable"),
        ("GET", "/things/fault", 500, "internal-error"),
        ("GET", "/nothing", 404, "not-found"),
        ("GET", "/things/problem/", 404, "not-found"),
        ("POST", "/things/problem", 405, "method-not-allowed"),
    ],
)
async def test_every_refusal_is_a_problem(method: str, path: str, status: int, code: str) -> None:
    async with client() as door:
        response = await door.request(method, path)

    body = response.json()
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert Contract.of("problem").errors(body) == []
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == f"urn:stampbook:problem:{code}"
    assert "secret" not in response.text


async def test_a_problem_carries_what_belongs_to_its_code() -> None:
    async with client() as door:
        response = await door.get("/things/problem")

    assert response.json()["title"] == "Id reused"
    assert response.json()["recorded_at"] == "…"


@pytest.mark.parametrize(
    ("path", "seconds"), [("/things/database", "1"), ("/things/busy", "7"), ("/things/full", "1")]
)
async def test_who_may_come_back_is_told_when(path: str, seconds: str) -> None:
    async with client() as door:
        response = await door.get(path)

    assert response.headers["retry-after"] == seconds


async def test_a_wrong_method_is_told_every_right_one() -> None:
    async with client() as door:
        response = await door.delete("/things/problem")

    assert response.headers["allow"] == "GET, PUT"


async def test_our_fault_is_logged_once_under_the_id_that_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with client() as door:
        response = await door.get("/things/fault")

    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert response.json()["fault"] == vars(record)["fault"]
    assert record.exc_info is not None
    assert record.exc_info[1] is ERRORS["fault"]
