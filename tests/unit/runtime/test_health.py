"""A process says whether it lives, whether it is ready, and how it does."""

import threading

import httpx
import msgspec
import pytest
from prometheus_client import REGISTRY

from services.runtime.health import Health, counter, duration_s, gauge
from services.runtime.web import application
from tests.support.doors import door_to


def refuse() -> str:
    raise ConnectionError("the store is away")


def client(health: Health) -> httpx.AsyncClient:
    return door_to(application("Healthy", "1", [], health=health))


async def test_is_ready_when_every_check_passes() -> None:
    health = Health()
    health.add("store", lambda: None)
    health.add("lag", lambda: "12 events")

    async with client(health) as door:
        response = await door.get("/readyz")

    assert response.status_code == 200
    assert response.json() == {
        "status": "ready",
        "checks": {"store": {"ok": True, "detail": ""}, "lag": {"ok": True, "detail": "12 events"}},
    }


async def test_one_failing_check_is_enough_not_to_be_ready_and_is_named() -> None:
    health = Health()
    health.add("store", refuse)
    health.add("lag", lambda: None)

    async with client(health) as door:
        ready, alive = await door.get("/readyz"), await door.get("/healthz")

    assert ready.status_code == 503
    assert ready.json()["checks"]["store"] == {"ok": False, "detail": "the store is away"}
    assert ready.json()["checks"]["lag"]["ok"] is True
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})


def test_a_check_that_hangs_is_given_up_and_not_started_twice() -> None:
    started: list[int] = []
    let_go = threading.Event()

    def hang() -> None:
        started.append(1)
        let_go.wait()

    health = Health(check_timeout_s=0.05)
    health.add("store", hang)

    for _ in range(3):
        is_ready, checks = health.ready()
        assert not is_ready
        assert checks["store"] == {"ok": False, "detail": "no answer within 0.05 s"}
    assert len(started) == 1

    let_go.set()


async def test_metrics_are_prometheus_text() -> None:
    async with client(Health()) as door:
        await door.get("/nothing")
        response = await door.get("/metrics")

    assert response.headers["content-type"].startswith("text/plain")
    assert 'http_request_seconds_count{method="GET",route="none",status="404"}' in response.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_asking_for_the_headers_only_is_allowed(path: str) -> None:
    health = Health()
    health.add("store", lambda: None)

    async with client(health) as door:
        response = await door.head(path)

    assert response.status_code == 200


def test_asking_twice_for_a_metric_gives_the_same_one() -> None:
    kind = ("kind",)

    counter("tests_cakes", "Baked.", kind).labels("plum").inc()
    counter("tests_cakes", "Baked.", kind).labels("plum").inc()
    gauge("tests_lag_events", "Behind.").set(7)
    duration_s("tests_baking", "From dough to cake.").observe(3)

    assert REGISTRY.get_sample_value("stampbook_tests_cakes_total", {"kind": "plum"}) == 2
    assert REGISTRY.get_sample_value("stampbook_tests_lag_events") == 7
    assert REGISTRY.get_sample_value("stampbook_tests_baking_seconds_sum") == 3


def test_answers_are_bytes_for_servers_of_any_kind() -> None:
    health = Health()
    health.add("store", lambda: None)

    status, media_type, body = health.answer("/readyz")

    assert (status, media_type) == (200, "application/json")
    assert msgspec.json.decode(body)["status"] == "ready"


def test_who_still_waits_for_its_stores_is_not_ready() -> None:
    status, _, body = Health().answer("/readyz")

    assert status == 503
    assert msgspec.json.decode(body) == {"status": "not-ready", "checks": {}}
