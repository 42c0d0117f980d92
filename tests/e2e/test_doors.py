"""Who may come in, what is said to whom, and what a process says of itself."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.e2e import answers
from tests.e2e.shop import Shop, problem
from tests.support.eventually import eventually

DOORS = ("/v1/members/m/balances", "/v1/programmes", "/v1/endpoints")
ClientOf = Callable[..., httpx.Client]


@pytest.fixture
def client_of(shop: Shop) -> Iterator[ClientOf]:
    """Makes a key and gives a client that shows it."""
    with ExitStack() as stack:

        def make(role: str, merchant: str | None = None) -> httpx.Client:
            asked = {"role": role} | ({"merchant": merchant} if merchant else {})
            made = shop.client.post("/v1/keys", json=asked)
            assert made.status_code == 201
            client = stack.enter_context(shop.installation.client(made.json()["key"]))
            client.event_hooks = {"response": [answers.check]}
            client.headers["x-key-id"] = made.json()["id"]
            return client

        yield make


@pytest.mark.parametrize("path", DOORS)
def test_nobody_comes_in_without_a_key(shop: Shop, path: str) -> None:
    with shop.installation.client("sb_nobodys") as stranger:
        unknown = stranger.get(path)
        del stranger.headers["authorization"]
        missing = stranger.get(path)

    assert problem(unknown, 401) == "key-unknown"
    assert problem(missing, 401) == "key-missing"
    assert missing.headers["www-authenticate"].startswith("Bearer")


def test_a_merchant_sees_its_own_purchases_only(shop: Shop, client_of: ClientOf) -> None:
    own, other = shop.name("own"), shop.name("other")
    baker, butcher = client_of("merchant", own), client_of("till", other)
    content = shop.purchase(shop.name("m"), 1_000)
    baker.put("/v1/purchases/b1", json=content, headers={"Prefer": "wait=30"})

    eventually(lambda: shop.points(shop.name("m")) == 1)

    assert baker.get("/v1/purchases/b1").json()["merchant"] == own
    assert problem(butcher.get("/v1/purchases/b1"), 404) == "unknown-purchase"
    assert problem(butcher.get("/v1/outcomes/purchase/b1"), 404) == "unknown-outcome"
    seen = baker.get("/v1/events", params={"limit": 1_000}).json()["items"]
    assert {event["merchant"] for event in seen} == {own}
    # The same id is another purchase at another merchant.
    again = butcher.put("/v1/purchases/b1", json=content, headers={"Prefer": "wait=30"})
    assert again.json()["outcome"] == "recorded"


def test_each_role_may_do_what_it_is_for(shop: Shop, client_of: ClientOf) -> None:
    till, auditor = client_of("till", "grocer"), client_of("auditor")
    content = shop.purchase(shop.name("m"), 1_000)

    sold = till.put(f"/v1/purchases/{shop.name('b')}", json=content)
    log = auditor.get("/v1/events", params={"limit": 1})

    assert (sold.status_code, log.status_code) == (202, 200)
    key = {"role": "auditor"}
    refused = [
        till.post("/v1/keys", json=key),
        till.get("/v1/dead-letters"),
        till.put("/v1/endpoints/e", json={"url": "https://example.com/", "types": ["*"]}),
        auditor.put("/v1/purchases/x", json=content, headers={"Stampbook-Merchant": "grocer"}),
        auditor.post("/v1/programmes/grocer/versions/1/retire"),
    ]
    assert {problem(answer, 403) for answer in refused} == {"role-not-allowed"}


def test_a_revoked_key_lets_nobody_in(shop: Shop, client_of: ClientOf) -> None:
    till = client_of("till", "grocer")
    assert till.get("/v1/keys/self").json()["role"] == "till"

    gone = shop.client.delete(f"/v1/keys/{till.headers['x-key-id']}")

    assert gone.status_code == 204
    assert problem(till.get("/v1/keys/self"), 401) == "key-unknown"
    listed = shop.get("keys", limit=1_000)["items"]
    [line] = [each for each in listed if each["id"] == till.headers["x-key-id"]]
    assert "revoked_at" in line
    assert "key" not in line


def test_a_revoked_key_follows_the_log_no_further(shop: Shop, client_of: ClientOf) -> None:
    reader = client_of("auditor")
    reader.event_hooks = {}
    follow = {"follow": "true", "after": "0", "member": shop.name("nobody")}
    with reader.stream("GET", "/v1/events", params=follow) as answer:
        shop.client.delete(f"/v1/keys/{reader.headers['x-key-id']}").raise_for_status()
        shop.buy("rings", shop.name("somebody"), 1_000)
        lines = list(answer.iter_lines())  # to its end

    assert [line for line in lines if line] == []


def test_the_operator_says_for_whom(shop: Shop) -> None:
    content = shop.purchase(shop.name("m"), 1_000)

    with shop.installation.client(shop.installation.key) as operator:
        answer = operator.put("/v1/purchases/b", json=content)

    assert problem(answer, 422) == "invalid-parameter"
    [error] = answer.json()["errors"]
    assert (error["parameter"], error["code"]) == ("Stampbook-Merchant", "merchant-required")


def test_what_is_wrong_with_a_request_is_a_problem(shop: Shop) -> None:
    path = f"/v1/purchases/{shop.name('b')}"
    json_type = {"Content-Type": "application/json"}

    answers = {
        problem(shop.client.put(path, content=b"{", headers=json_type), 400),
        problem(shop.client.put(path, content=b"<a/>", headers={"Content-Type": "text/xml"}), 415),
        problem(shop.client.put(path, content=b" " * (2 << 20), headers=json_type), 413),
        problem(shop.client.patch(path, json={}), 405),
        problem(shop.client.get("/v1/nothing-of-the-kind"), 404),
        problem(shop.client.get("/v1/events", params={"limit": 1_001}), 422),
        problem(shop.client.put(f"{path}@x", json=shop.purchase("m", 1)), 422),
    }

    assert answers == {
        *("not-json", "unsupported-media-type", "too-large", "method-not-allowed"),
        *("not-found", "invalid-parameter"),
    }


def test_a_process_says_how_it_is(shop: Shop) -> None:
    alive, ready, metrics, docs = (
        shop.client.get(path) for path in ("/healthz", "/readyz", "/metrics", "/docs")
    )

    assert alive.json() == {"status": "alive"}
    assert ready.json()["status"] == "ready"
    assert {check["ok"] for check in ready.json()["checks"].values()} == {True}
    assert "stampbook_" in metrics.text
    assert "openapi" in docs.text


def test_lists_go_page_by_page(shop: Shop) -> None:
    member = shop.name("m")
    for number in range(5):
        shop.buy(shop.name(f"b{number}"), member, 1_000)
    shop.wait_for_points(member, 5)

    pages: list[list[str]] = []
    after: str | None = "0"
    while after is not None:
        page = shop.get(f"members/{member}/entries", limit=2, after=after)
        pages.append([entry["purchase"] for entry in page["items"]])
        after = page["next"]

    assert pages == [
        [shop.name("b0"), shop.name("b1")],
        [shop.name("b2"), shop.name("b3")],
        [shop.name("b4")],
    ]


@pytest.mark.parametrize(
    "path",
    ["/v1/members/nobody/balances", "/v1/events", "/v1/purchases/none", "/v1/programmes"],
)
def test_a_misspelt_parameter_is_refused_not_ignored(shop: Shop, path: str) -> None:
    answer = shop.client.get(path, params={"known_att": "2026-01-01T00:00:00Z"})

    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert (error["parameter"], error["code"]) == ("known_att", "unknown-parameter")
