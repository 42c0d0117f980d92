"""The HTTP door of notify: whose endpoints, what is refused, and what is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from services.notify.api import TITLE, routes
from services.notify.application import Notify
from services.notify.roles import use_cases
from services.runtime.auth import Principal, Role
from services.runtime.contracts import Contract
from services.runtime.database import Database
from services.runtime.health import Health
from services.runtime.web import application
from tests.support.databases import migrated
from tests.support.doors import door_to
from tests.support.eventually import eventually
from tests.support.keys import AUDITOR, MERCHANT, OPERATOR, TILL, KnownKeys, bearer
from tests.support.post import Post
from tests.support.receiver import Receiver

BAKER = "sb_baker"
TILL_FEED = "/v1/endpoints/till-feed"
WISH = {"url": "https://shop.example/hook", "types": ["points.*", "purchase.recorded"]}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """One kind is enough for a door: what stands behind it is tested on both."""
    with migrated(f"sqlite:///{tmp_path / 'notify.db'}", "services.notify") as database:
        yield database


@pytest.fixture
def notify(post: Post) -> Notify:
    return post.notify


@pytest.fixture
async def client(notify: Notify) -> AsyncIterator[httpx.AsyncClient]:
    keys = KnownKeys({BAKER: Principal(Role.MERCHANT, "baker", "key-baker")})
    app = application(TITLE, "0", [routes(notify, keys)], health=Health())
    async with door_to(app, **bearer(MERCHANT)) as client:
        yield client


def answered(response: httpx.Response, status: int, contract: str) -> Any:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert Contract.of(f"answers/{contract}").errors(response.json()) == []
    return response.json()


def refused(response: httpx.Response, status: int, code: str) -> Any:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert Contract.of("problem").errors(response.json()) == []
    assert response.json()["code"] == code
    return response.json()


async def test_an_endpoint_is_made_once_and_its_secret_shown_once(
    client: httpx.AsyncClient,
) -> None:
    new = answered(await client.put(TILL_FEED, json=WISH), 201, "endpoint")
    again = answered(await client.put(TILL_FEED, json=WISH), 200, "endpoint")
    shown = answered(await client.get(TILL_FEED), 200, "endpoint")

    secret = new.pop("secret")
    assert secret.startswith("whsec_")
    assert new == again == shown
    assert {**WISH, "id": "till-feed", "ordering": "member", "state": "active"}.items() <= (
        shown.items()
    )


async def test_an_endpoint_may_be_changed(client: httpx.AsyncClient) -> None:
    await client.put(TILL_FEED, json=WISH)

    changed = {"url": "https://shop.example/new", "types": ["*"], "ordering": "none"}
    answer = answered(await client.put(TILL_FEED, json=changed), 200, "endpoint")

    assert changed.items() <= answer.items()
    assert "secret" not in answer


async def test_everybody_sees_his_own_endpoints(client: httpx.AsyncClient) -> None:
    operator, baker = bearer(OPERATOR), bearer(BAKER)
    for_baker = bearer(OPERATOR, **{"Stampbook-Merchant": "baker"})
    await client.put("/v1/endpoints/a", json=WISH)
    await client.put("/v1/endpoints/a", json=WISH, headers=for_baker)
    await client.put("/v1/endpoints/b", json=WISH, headers=baker)
    await client.put("/v1/endpoints/c", json=WISH, headers=operator)

    async def ids(headers: dict[str, str]) -> list[str]:
        page = await client.get("/v1/endpoints", headers=headers)
        return [each["id"] for each in answered(page, 200, "endpoints")["items"]]

    assert await ids(bearer(MERCHANT)) == ["a"]
    assert await ids(baker) == ["a", "b"]
    assert await ids(for_baker) == ["a", "b"]
    assert await ids(operator) == ["c"]
    assert await ids(bearer(AUDITOR)) == ["c"]
    assert await ids(bearer(AUDITOR, **{"Stampbook-Merchant": "grocer"})) == ["a"]
    refused(await client.get("/v1/endpoints/c"), 404, "unknown-endpoint")
    refused(await client.delete("/v1/endpoints/b"), 404, "unknown-endpoint")


@pytest.mark.parametrize("key", [TILL, AUDITOR])
async def test_tills_and_auditors_change_nothing(client: httpx.AsyncClient, key: str) -> None:
    await client.put(TILL_FEED, json=WISH)
    headers = bearer(key, **{"Stampbook-Merchant": "grocer"})

    tries = [
        await client.put(TILL_FEED, json=WISH, headers=headers),
        await client.delete(TILL_FEED, headers=headers),
        await client.post(f"{TILL_FEED}/pause", headers=headers),
        await client.post(f"{TILL_FEED}/resume", headers=headers),
        await client.post(f"{TILL_FEED}/replay", json={"after": 0}, headers=headers),
    ]

    for each in tries:
        refused(each, 403, "role-not-allowed")
    answered(await client.get(TILL_FEED), 200, "endpoint")


async def test_lists_go_page_by_page(client: httpx.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await client.put(f"/v1/endpoints/{name}", json=WISH)

    first = answered(await client.get("/v1/endpoints?limit=2"), 200, "endpoints")
    rest = answered(
        await client.get(f"/v1/endpoints?limit=2&after={first['next']}"), 200, "endpoints"
    )

    assert [each["id"] for each in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next"] is None


async def test_an_endpoint_goes_and_its_name_is_free(client: httpx.AsyncClient) -> None:
    await client.put(TILL_FEED, json=WISH)

    gone = await client.delete(TILL_FEED)

    assert (gone.status_code, gone.content) == (204, b"")
    refused(await client.get(TILL_FEED), 404, "unknown-endpoint")
    refused(await client.delete(TILL_FEED), 404, "unknown-endpoint")
    answered(await client.put(TILL_FEED, json=WISH), 201, "endpoint")


async def test_pauses_and_resumes(client: httpx.AsyncClient) -> None:
    await client.put(TILL_FEED, json=WISH)

    paused = answered(await client.post(f"{TILL_FEED}/pause"), 200, "endpoint")
    active = answered(await client.post(f"{TILL_FEED}/resume"), 200, "endpoint")

    assert (paused["state"], active["state"]) == ("paused", "active")


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/",
        "http://localhost:8080/",
        "http://127.0.0.1:8080/",
        "http://[::1]:8080/",
        "http://0x7f000001/",
    ],
)
async def test_addresses_inside_are_refused(database: Database, post: Post, url: str) -> None:
    notify = use_cases(database, post.clock, allow_loopback=False)
    app = application(TITLE, "0", [routes(notify, KnownKeys())], health=Health())

    async with door_to(app, **bearer(MERCHANT)) as client:
        answer = await client.put(TILL_FEED, json={**WISH, "url": url})

    [error] = refused(answer, 422, "address-not-allowed")["errors"]
    assert (error["pointer"], error["code"]) == ("/url", "address-not-allowed")


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"url": "https://user:pass@shop.example/"}, {"/url"}),
        ({"url": "https://shop.example/#here"}, {"/url"}),
        ({"url": "ftp://shop.example/"}, {"/url"}),
        ({"url": f"https://shop.example/{'x' * 2_048}"}, {"/url"}),
        ({"types": []}, {"/types"}),
        ({"types": ["points.**"], "ordering": "shop"}, {"/types/0", "/ordering"}),
        ({"from": -1}, {"/from"}),
        ({"from": "yesterday", "color": "red"}, {"/from", "/color"}),
    ],
)
async def test_names_every_bad_field(
    client: httpx.AsyncClient, change: dict[str, object], pointers: set[str]
) -> None:
    problem = refused(await client.put(TILL_FEED, json={**WISH, **change}), 422, "invalid")

    assert {error["pointer"] for error in problem["errors"]} == pointers


async def test_until_the_log_is_found_endpoints_have_to_wait(
    client: httpx.AsyncClient, database: Database
) -> None:
    with database.write() as connection:
        connection.execute("DELETE FROM feed")

    answer = await client.put(TILL_FEED, json=WISH)

    refused(answer, 503, "not-ready")
    assert answer.headers["retry-after"]


async def test_shows_deliveries_with_their_attempts(
    client: httpx.AsyncClient, post: Post, receiver: Receiver
) -> None:
    receiver.answer(
        "/", lambda call: web.Response(status=204 if call.member == "7" else 500, text="")
    )
    wish = {"url": receiver.url(), "types": ["*"]}
    with post.open():
        await client.put(TILL_FEED, json=wish)
        post.record("7", "1130", "1130", None)
        eventually(lambda: post.notify.lag("grocer", "till-feed").failing_since)
        eventually(lambda: len(receiver.calls) >= 3)
        eventually(lambda: len(post.notify.deliveries(
            "grocer", "till-feed", state="delivered", after=0, limit=9)) == 1)  # fmt: skip
    found = answered(await client.get(f"{TILL_FEED}/deliveries"), 200, "deliveries")
    page = answered(await client.get(f"{TILL_FEED}/deliveries?limit=1"), 200, "deliveries")
    waiting = await client.get(f"{TILL_FEED}/deliveries?state=waiting&after=2&limit=1")

    delivered, failing, behind, stranger = found["items"]
    assert (delivered["state"], delivered["attempts"][0]["status"]) == ("delivered", 204)
    assert delivered["next_try_at"] is None
    assert (failing["state"], failing["attempts"][0]["status"]) == ("waiting", 500)
    assert failing["next_try_at"] > failing["attempts"][0]["at"]
    assert (behind["state"], behind["attempts"], behind["next_try_at"]) == ("waiting", [], None)
    assert (stranger["type"], "member" in stranger) == ("purchase.recorded", False)
    assert page["next"] == 1
    assert [each["position"] for each in waiting.json()["items"]] == [3]

    lag = answered(await client.get(f"{TILL_FEED}/lag"), 200, "lag")
    assert (lag["position"], lag["log_end"], lag["events"]) == (1, 4, 3)
    assert lag["oldest_s"] > 0
    assert lag["next_try_at"]
    assert lag["failing_since"]


async def test_replays_show_how_far_they_are(
    client: httpx.AsyncClient, post: Post, receiver: Receiver
) -> None:
    with post.open():
        post.record(*["1130", "7"] * 10)
        eventually(lambda: post.projector.lag() == 0)
        wish = {"url": receiver.url(), "types": ["*"], "from": 10}
        made = answered(await client.put(TILL_FEED, json=wish), 201, "endpoint")
        eventually(lambda: len(receiver.calls) == 10)
        since = {"since": "2017-01-01T00:00:00-05:00", "types": ["points.*"], "only": "all"}
        begun = await client.post(f"{TILL_FEED}/replay", json=since)
        eventually(lambda: len(receiver.calls) == 30)
        eventually(lambda: post.notify.replays("grocer", "till-feed")[-1].state == "done")
    beginning, replay = answered(await client.get(f"{TILL_FEED}/replays"), 200, "replays")["items"]
    second = await client.get(f"{TILL_FEED}/replays?after=0&limit=1")

    assert made["from"] == 10
    assert answered(begun, 202, "replay")["id"] == 1
    assert (beginning["id"], beginning["queued"], beginning["after"]) == (0, 10, 10)
    assert (replay["id"], replay["queued"], replay["state"]) == (1, 20, "done")
    assert replay["records_read"] == replay["records_to_read"] == 20
    assert second.json() == {"items": [replay], "next": None}


async def test_refuses_replays_that_make_no_sense(client: httpx.AsyncClient) -> None:
    await client.put(TILL_FEED, json=WISH)

    async def errors(body: object) -> set[str]:
        problem = await client.post(f"{TILL_FEED}/replay", json=body)
        return {each["pointer"] for each in refused(problem, 422, "invalid")["errors"]}

    assert await errors({}) == {"/after"}
    assert await errors({"after": 0, "since": "2017-01-01T00:00:00Z"}) == {"/after"}
    assert await errors({"since": "2017-02-30T00:00:00Z"}) == {"/since"}
    assert await errors({"since": "0000-01-01T00:00:00Z"}) == {"/since"}
    assert await errors({"after": 0, "only": "some"}) == {"/only"}
    refused(
        await client.post("/v1/endpoints/none/replay", json={"after": 0}), 404, "unknown-endpoint"
    )
    for _ in range(10):
        answered(await client.post(f"{TILL_FEED}/replay", json={"after": 0}), 202, "replay")
    refused(await client.post(f"{TILL_FEED}/replay", json={"after": 0}), 409, "too-many-replays")


@pytest.mark.parametrize(
    "query", ["deliveries?after=x", "deliveries?state=lost", "replays?after=-1", "lag?known_at=1"]
)
async def test_refuses_parameters_that_make_no_sense(client: httpx.AsyncClient, query: str) -> None:
    await client.put(TILL_FEED, json=WISH)

    refused(await client.get(f"{TILL_FEED}/{query}"), 422, "invalid-parameter")
