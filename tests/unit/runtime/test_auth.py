"""Who is asking, and may he."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import httpx
import msgspec
import pytest
from fastapi import APIRouter, Depends, Request, Response

from services.runtime.auth import (
    Principal,
    RemoteKeys,
    Role,
    acting_merchant,
    authenticated,
    hashed,
    new_secret,
)
from services.runtime.health import Health
from services.runtime.problems import Problem
from services.runtime.web import answer, application
from tests.support.doors import door_to
from tests.support.keys import AUDITOR, MERCHANT, OPERATOR, TILL, KnownKeys, bearer

NOW = datetime(2026, 11, 23, tzinfo=UTC)
GROCER = Principal(Role.MERCHANT, "grocer", "key-1")


def client() -> httpx.AsyncClient:
    router = APIRouter()
    allowed = authenticated(KnownKeys(), Role.MERCHANT, Role.TILL, Role.OPERATOR)

    @router.get("/whoami")
    async def whoami(request: Request, caller: Annotated[Principal, Depends(allowed)]) -> Response:
        return answer({"role": caller.role, "merchant": acting_merchant(request, caller)})

    return door_to(application("Who", "1", [router], health=Health()))


@pytest.mark.parametrize(
    ("headers", "code", "challenge"),
    [
        ({}, "key-missing", "Bearer"),
        ({"Authorization": "Basic c2I6c2I="}, "key-missing", "Bearer"),
        ({"Authorization": "Bearer"}, "key-missing", "Bearer"),
        ({"Authorization": "Bearer two words"}, "key-missing", "Bearer"),
        ({"Authorization": f"Bearer {'k' * 300}"}, "key-missing", "Bearer"),
        (bearer("sb_nobody"), "key-unknown", 'Bearer error="invalid_token"'),
    ],
)
async def test_who_shows_no_key_in_force_is_asked_for_one(
    headers: dict[str, str], code: str, challenge: str
) -> None:
    async with client() as door:
        response = await door.get("/whoami", headers=headers)

    assert response.status_code == 401
    assert response.json()["code"] == code
    assert response.headers["www-authenticate"] == challenge


async def test_a_role_that_is_not_meant_is_refused() -> None:
    async with client() as door:
        response = await door.get("/whoami", headers=bearer(AUDITOR))

    assert (response.status_code, response.json()["code"]) == (403, "role-not-allowed")


@pytest.mark.parametrize("secret", [TILL, MERCHANT])
async def test_a_merchants_key_acts_for_its_merchant(secret: str) -> None:
    async with client() as door:
        alone = await door.get("/whoami", headers=bearer(secret))
        named = await door.get(
            "/whoami", headers=bearer(secret, **{"Stampbook-Merchant": "grocer"})
        )
        other = await door.get(
            "/whoami", headers=bearer(secret, **{"Stampbook-Merchant": "bakery"})
        )

    assert alone.json()["merchant"] == named.json()["merchant"] == "grocer"
    assert (other.status_code, other.json()["code"]) == (403, "role-not-allowed")


async def test_the_operator_names_the_merchant() -> None:
    async with client() as door:
        named = await door.get("/whoami", headers=bearer(OPERATOR, **{"stampbook-merchant": "b.1"}))
        silent = await door.get("/whoami", headers=bearer(OPERATOR))
        wrong = await door.get("/whoami", headers=bearer(OPERATOR, **{"Stampbook-Merchant": "a b"}))

    assert named.json()["merchant"] == "b.1"
    assert silent.status_code == wrong.status_code == 422
    [missing], [malformed] = silent.json()["errors"], wrong.json()["errors"]
    assert (missing["parameter"], missing["code"]) == ("Stampbook-Merchant", "merchant-required")
    assert (malformed["parameter"], malformed["code"]) == ("Stampbook-Merchant", "malformed")


def test_keys_are_random_and_stored_as_a_hash() -> None:
    first, second = new_secret(), new_secret()

    assert first != second
    assert first.startswith("sb_")
    assert len(first) >= len("sb_") + 32
    assert len(hashed(first)) == 32
    assert hashed(first) == hashed(first) != hashed(second)


class Ledger:
    """A ledger that knows one key, and may be away."""

    def __init__(self) -> None:
        self.questions = 0
        self.answer: Callable[[], httpx.Response] = self.knows

    def knows(self) -> httpx.Response:
        return httpx.Response(200, content=msgspec.json.encode(GROCER))

    def knows_not(self) -> httpx.Response:
        return httpx.Response(401)

    def is_away(self) -> httpx.Response:
        raise httpx.ConnectError("refused")

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.questions += 1
        assert request.url.path == "/v1/keys/self"
        assert request.headers["authorization"] == "Bearer sb_1"
        return self.answer()


class Asking:
    """Remote keys, their ledger, and a clock that the test turns."""

    def __init__(self) -> None:
        self.now = NOW
        self.ledger = Ledger()
        transport = httpx.MockTransport(self.ledger.handle)
        client = httpx.AsyncClient(transport=transport)
        self.keys = RemoteKeys("http://ledger/", lambda: self.now, client)

    async def find(self, *, after: timedelta = timedelta()) -> Principal | None:
        self.now += after
        return await self.keys.find("sb_1")


async def test_the_ledger_is_asked_once_in_thirty_seconds() -> None:
    asking = Asking()

    assert await asking.find() == GROCER
    assert await asking.find(after=timedelta(seconds=29)) == GROCER
    assert asking.ledger.questions == 1
    assert await asking.find(after=timedelta(seconds=1)) == GROCER
    assert asking.ledger.questions == 2


async def test_a_revoked_key_is_forgotten() -> None:
    asking = Asking()
    await asking.find()
    asking.ledger.answer = asking.ledger.knows_not

    assert await asking.find(after=timedelta(seconds=30)) is None
    asking.ledger.answer = asking.ledger.is_away
    with pytest.raises(Problem):
        await asking.find()


async def test_an_unknown_key_is_asked_for_again() -> None:
    asking = Asking()
    asking.ledger.answer = asking.ledger.knows_not
    assert await asking.find() is None

    asking.ledger.answer = asking.ledger.knows

    assert await asking.find() == GROCER


@pytest.mark.parametrize(
    "failure",
    [
        lambda: httpx.Response(503),
        lambda: httpx.Response(200, content=b"<html>"),
        lambda: httpx.Response(200, content=b'{"role":"king"}'),
    ],
)
async def test_while_the_ledger_is_away_the_known_are_let_in_for_a_while(
    failure: Callable[[], httpx.Response],
) -> None:
    asking = Asking()
    await asking.find()
    asking.ledger.answer = failure

    assert await asking.find(after=timedelta(minutes=9)) == GROCER
    with pytest.raises(Problem) as refusal:
        await asking.find(after=timedelta(minutes=1))
    assert refusal.value.status == 503
    assert refusal.value.headers["Retry-After"] == "1"


async def test_only_so_many_keys_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RemoteKeys, "REMEMBERED_MAX", 2)
    found: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        found.append(request.headers["authorization"])
        return httpx.Response(200, content=msgspec.json.encode(GROCER))

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        keys = RemoteKeys("http://ledger", lambda: NOW, client)
        for secret in ("a", "b", "c", "b", "a"):
            await keys.find(secret)
        await keys.close()

    assert [each[-1] for each in found] == ["a", "b", "c", "a"]
