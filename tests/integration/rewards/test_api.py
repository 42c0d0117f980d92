"""The HTTP door of rewards: who may do what, and what is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.rewards.api import TITLE, routes
from services.rewards.text import SIZE_MAX_BYTES
from services.runtime.contracts import Contract
from services.runtime.health import Health
from services.runtime.web import application
from tests.support.doors import door_to
from tests.support.keys import AUDITOR, MERCHANT, OPERATOR, TILL, KnownKeys, bearer
from tests.support.rewards_desk import GROCER, START, RewardsDesk

YAML = {"Content-Type": "application/yaml"}
COMMENTED = Path("examples/programmes/grocer.yaml").read_text()
VERSION_1 = "/v1/programmes/grocer/versions/1"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """One kind is enough for a door: what stands behind it is tested on both."""
    return f"sqlite:///{tmp_path / 'rewards.db'}"


@pytest.fixture
async def client(desk: RewardsDesk) -> AsyncIterator[httpx.AsyncClient]:
    app = application(TITLE, "0", [routes(desk.programmes, KnownKeys())], health=Health())
    async with door_to(app, **bearer(OPERATOR)) as client:
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


async def test_a_programme_is_written_down_activated_and_shown(
    client: httpx.AsyncClient, desk: RewardsDesk
) -> None:
    new = await client.put(VERSION_1, content=COMMENTED, headers=YAML)
    again = await client.put(VERSION_1, content=GROCER, headers={"Content-Type": "text/yaml"})
    desk.now += timedelta(minutes=1)
    active = await client.post(f"{VERSION_1}/activate")
    shown = await client.get(VERSION_1)

    draft = answered(new, 201, "programme-version")
    assert draft["state"] == "draft"
    assert draft["as_written"] == {"media_type": "application/yaml", "text": COMMENTED}
    assert answered(again, 200, "programme-version") == draft
    assert answered(active, 200, "programme-version") == {
        **draft,
        "state": "active",
        "activated_at": "2026-05-01T12:01:00Z",
    }
    assert shown.json() == active.json()


async def test_json_says_the_same_as_yaml(client: httpx.AsyncClient) -> None:
    yaml = await client.put(VERSION_1, content=GROCER, headers=YAML)

    json = await client.put(VERSION_1, json=yaml.json()["as_understood"])

    assert answered(json, 200, "programme-version") == yaml.json()


async def test_other_content_under_the_same_number_is_refused(client: httpx.AsyncClient) -> None:
    await client.put(VERSION_1, content=GROCER, headers=YAML)

    response = await client.put(VERSION_1, content=GROCER.replace("12", "24"), headers=YAML)

    problem = refused(response, 409, "id-reused")
    assert problem["title"] == "A version never changes; write the change down as the next one."


async def test_every_fault_is_named_with_its_line(client: httpx.AsyncClient) -> None:
    bad = GROCER.replace("USD", "XXX").replace("points: 1,", "points: -1,") + "extra: 1\n"

    response = await client.put("/v1/programmes/baker/versions/1", content=bad, headers=YAML)

    problem = refused(response, 422, "invalid")
    assert [(e["pointer"], e["code"], e["line"], e["column"]) for e in problem["errors"]] == [
        ("/programme", "other-programme", 1, 1),
        ("/currency", "unknown-currency", 2, 1),
        ("/rules/base/earn/points", "out-of-range", 9, 26),
        ("/extra", "unknown-field", 10, 1),
    ]


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code", "error"),
    [
        (b"a: [", "application/yaml", 400, "not-yaml", {"pointer": "", "line": 1, "column": 5}),
        (b'{"a": 1,}', "application/json", 400, "not-json", {"pointer": "", "line": 1}),
        (b"\xff", "application/yaml", 400, "not-yaml", {"pointer": ""}),
        (b"", "application/yaml", 422, "invalid", {"code": "wrong-type", "line": 1}),
        (GROCER.encode(), "text/plain", 415, "unsupported-media-type", None),
        (b"#" * (SIZE_MAX_BYTES + 1), "application/yaml", 413, "too-large", None),
    ],
)
async def test_what_cannot_be_read_is_refused(
    client: httpx.AsyncClient,
    content: bytes,
    media_type: str,
    status: int,
    code: str,
    error: dict[str, object] | None,
) -> None:
    response = await client.put(VERSION_1, content=content, headers={"Content-Type": media_type})

    problem = refused(response, status, code)
    assert error is None or error.items() <= problem["errors"][0].items()


@pytest.mark.parametrize("key", [TILL, MERCHANT, AUDITOR])
async def test_only_the_operator_changes_programmes(
    client: httpx.AsyncClient, desk: RewardsDesk, key: str
) -> None:
    desk.adopt()
    client.headers.update(bearer(key))

    writes = [
        await client.put("/v1/programmes/grocer/versions/2", content=GROCER, headers=YAML),
        await client.post(f"{VERSION_1}/activate"),
        await client.post(f"{VERSION_1}/retire", json={}),
    ]
    reads = [await client.get(path) for path in ("/v1/programmes", VERSION_1)]

    for response in writes:
        refused(response, 403, "role-not-allowed")
    assert [response.status_code for response in reads] == [200, 200]
    assert len(desk.programmes.overview("grocer").versions) == 1


async def test_nobody_reads_without_a_key(client: httpx.AsyncClient) -> None:
    del client.headers["Authorization"]

    for path in ("/v1/programmes", "/v1/programmes/grocer", VERSION_1):
        refused(await client.get(path), 401, "key-missing")


async def test_lists_programmes_page_by_page(client: httpx.AsyncClient, desk: RewardsDesk) -> None:
    for name in ("grocer", "baker", "coalition"):
        desk.adopt(GROCER.replace("grocer", name))

    first = answered(await client.get("/v1/programmes?limit=2"), 200, "programmes")
    rest = answered(
        await client.get(f"/v1/programmes?limit=2&after={first['next']}"), 200, "programmes"
    )

    assert [item["programme"] for item in first["items"]] == ["baker", "coalition"]
    assert [item["programme"] for item in rest["items"]] == ["grocer"]
    assert rest["next"] is None


async def test_a_cursor_is_one_that_a_page_gave(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/programmes", params={"after": "gro\0cer"})

    assert refused(response, 422, "invalid-parameter")["errors"][0]["parameter"] == "after"


async def test_shows_which_version_holds(client: httpx.AsyncClient, desk: RewardsDesk) -> None:
    desk.adopt()
    await client.put("/v1/programmes/grocer/versions/2", content=GROCER, headers=YAML)
    later = {"at": "2026-06-01T00:00:00-04:00"}
    await client.post("/v1/programmes/grocer/versions/2/activate", json=later)

    programme = answered(await client.get("/v1/programmes/grocer"), 200, "programme")

    assert programme["in_force"] == 1
    assert [(v["version"], v["state"], v["activated_at"]) for v in programme["versions"]] == [
        (1, "active", "2026-05-01T12:00:00Z"),
        (2, "scheduled", "2026-06-01T04:00:00Z"),
    ]


async def test_retiring_ends_it(client: httpx.AsyncClient, desk: RewardsDesk) -> None:
    desk.adopt()

    retired = await client.post(f"{VERSION_1}/retire", content=b"")

    assert answered(retired, 200, "programme-version")["state"] == "retired"
    assert (await client.get("/v1/programmes/grocer")).json()["in_force"] is None


_LATER = {"at": (START + timedelta(days=1)).isoformat()}


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (("GET", "baker", None), 404, "unknown-programme"),
        (("GET", "grocer/versions/9", None), 404, "unknown-version"),
        (("POST", "grocer/versions/9/activate", {}), 404, "unknown-version"),
        (("POST", "grocer/versions/1/activate", _LATER), 409, "already-activated"),
        (("POST", "grocer/versions/2/retire", {}), 409, "not-activated"),
        (("POST", "grocer/versions/2/activate", {"at": "2026-05-01T11:59:59Z"}), 422, "invalid"),
        (("POST", "grocer/versions/2/activate", {"at": "2026-02-30T00:00:00Z"}), 422, "invalid"),
        (("POST", "grocer/versions/2/activate", {"at": "0000-01-01T00:00:00Z"}), 422, "invalid"),
        (("POST", "grocer/versions/2/activate", {"at": "tomorrow"}), 422, "invalid"),
        (("POST", "grocer/versions/2/activate", {"when": None}), 422, "invalid"),
        (("POST", "grocer/versions/2/activate", []), 422, "invalid"),
        (("GET", "grocer/versions/0", None), 422, "invalid-parameter"),
        (("GET", "grocer/versions/one", None), 422, "invalid-parameter"),
        (("GET", "gro%40cer", None), 422, "invalid-parameter"),
        (("DELETE", "grocer/versions/1", None), 405, "method-not-allowed"),
        (("GET", "grocer/versions", None), 404, "not-found"),
    ],
)
async def test_what_cannot_be_is_a_problem(
    client: httpx.AsyncClient,
    desk: RewardsDesk,
    request_: tuple[str, str, object],
    status: int,
    code: str,
) -> None:
    method, path, body = request_
    desk.adopt()
    await client.put("/v1/programmes/grocer/versions/2", content=GROCER, headers=YAML)

    response = await client.request(
        method, f"/v1/programmes/{path}", json=body if method == "POST" else None
    )

    refused(response, status, code)


async def test_its_openapi_names_every_body_and_answer(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    operations = {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == {
        "get /v1/programmes",
        "get /v1/programmes/{programme}",
        "put /v1/programmes/{programme}/versions/{number}",
        "get /v1/programmes/{programme}/versions/{number}",
        "post /v1/programmes/{programme}/versions/{number}/activate",
        "post /v1/programmes/{programme}/versions/{number}/retire",
    }
    put = operations["put /v1/programmes/{programme}/versions/{number}"]
    assert set(put["requestBody"]["content"]) == {"application/yaml", "application/json"}
    assert {"200", "201", "400", "401", "403", "409", "413", "415", "422"} <= set(put["responses"])
