"""The log through its door: pages, filters, and streams that follow it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.ledger.views import log as log_view
from services.runtime.auth import Role
from services.runtime.web import NDJSON
from tests.support.asgi import streaming
from tests.support.asyncs import soon
from tests.support.keys import bearer
from tests.support.ledger import OPERATOR_KEY, Door, Ledger, answered

AS_OPERATOR = bearer(OPERATOR_KEY, Accept=NDJSON)


async def a_log(ledger: Ledger) -> Door:
    """Six events: of two members, a stranger and two merchants."""
    door = ledger.door()
    await door.buy("p-1")
    await door.buy("p-2", member="2375")
    await ledger.door("baker").buy("p-1", member="1130")
    await door.buy("p-3", member=None)
    ledger.award(100)
    await soon(lambda: door.get("/members/1130/entries"), lambda found: found["items"])
    await door.redeem("s-1", 10)
    return door


async def positions(door: Door, **params: str | int) -> list[int]:
    found = answered(await door.http.get("/v1/events", params=params), "answers/events")
    return [event["position"] for event in found["items"]]


async def test_events_are_the_very_bytes_of_the_log(ledger: Ledger) -> None:
    door = await a_log(ledger)
    with ledger.database.read() as connection:
        stored = [bytes(raw) for (raw,) in connection.rows("SELECT event FROM events ORDER BY 1")]

    page = await door.http.get("/v1/events")
    lines = await door.http.get("/v1/events", headers={"Accept": NDJSON})

    assert all(raw in page.content for raw in stored)
    assert sorted(lines.content.splitlines()) == stored
    assert lines.headers["content-type"] == NDJSON


async def test_next_is_always_where_to_go_on(ledger: Ledger) -> None:
    door = await a_log(ledger)

    first = await door.get("/events", limit=4)
    second = await door.get("/events", limit=4, after=first["next"])
    end = await door.get("/events", limit=4, after=second["next"])
    await door.buy("p-9")
    news = await door.get("/events", after=end["next"])

    assert [event["position"] for event in first["items"]] == [1, 2, 3, 4]
    assert [event["position"] for event in second["items"]] == [5, 6]
    assert end == {"items": [], "next": second["next"]}
    assert [event["position"] for event in news["items"]] == [7]


async def test_events_are_chosen_by_type_and_member(ledger: Ledger) -> None:
    door = await a_log(ledger)

    assert await positions(door, type="*") == [1, 2, 3, 4, 5, 6]
    assert await positions(door, type="points.*") == [5, 6]
    assert await positions(door, type="purchase.recorded") == [1, 2, 3, 4]
    assert await positions(door, type="stampbook.points.earned.v1") == [5]
    assert await positions(door, type="points") == []
    assert await positions(door, member="1130") == [1, 3, 5, 6]
    assert await positions(door, member="1130", after=1, limit=2) == [3, 5]
    assert await positions(door, member="1130", after=4) == [5, 6]
    assert await positions(door, member="1130", type="points.*") == [5, 6]
    assert await positions(door, member="nobody") == []
    assert await positions(door, after=100) == []


async def test_a_merchants_key_sees_what_concerns_this_merchant(ledger: Ledger) -> None:
    await a_log(ledger)

    assert await positions(ledger.door_of(Role.MERCHANT, "baker")) == [3]
    assert await positions(ledger.door_of(Role.TILL, "baker"), member="1130") == [3]
    assert await positions(ledger.door_of(Role.TILL, "grocer")) == [1, 2, 4, 5, 6]
    assert len(await positions(ledger.door_of(Role.AUDITOR, None))) == 6


async def test_a_page_looks_only_so_far_and_says_where_to_go_on(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_view, "_SCAN_MAX", 3)
    monkeypatch.setattr(log_view, "_ROWS_PER_READ", 2)
    door = await a_log(ledger)

    first = await door.get("/events", type="points.*")
    second = await door.get("/events", type="points.*", after=first["next"])
    lines = await door.http.get("/v1/events?type=points.*", headers={"Accept": NDJSON})

    assert first == {"items": [], "next": "3"}
    assert [event["position"] for event in second["items"]] == [5, 6]
    assert len(lines.content.splitlines()) == 2


async def test_a_page_holds_only_so_many_bytes(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_view, "PAGE_BYTES_MAX", 500)
    door = await a_log(ledger)

    page = await door.get("/events")
    lines = await door.http.get("/v1/events", headers={"Accept": NDJSON})

    assert 1 <= len(page["items"]) < 6
    assert page["next"] == str(page["items"][-1]["position"])
    assert len(lines.content.splitlines()) == 6


async def test_a_stream_follows_the_log(ledger: Ledger) -> None:
    door = await a_log(ledger)

    async with streaming(ledger.app, "/v1/events?after=4&follow=true", **AS_OPERATOR) as stream:
        known = [position_of(await stream.event_line()) for _ in range(2)]
        await door.buy("p-9")
        news = position_of(await stream.event_line())

    assert stream.status == 200
    assert known == [5, 6]
    assert news == 7


async def test_a_stream_ends_after_so_many_events_if_asked_to(ledger: Ledger) -> None:
    door = await a_log(ledger)

    lines = await door.http.get("/v1/events?limit=2", headers={"Accept": NDJSON})

    assert [position_of(line) for line in lines.content.splitlines()] == [1, 2]


async def test_a_stream_shows_that_it_lives_while_nothing_happens(
    idle_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ledger.api_events._HEARTBEAT_S", 0.05)

    async with streaming(idle_ledger.app, "/v1/events?follow=true", **AS_OPERATOR) as stream:
        assert await stream.line() == b""


async def test_a_stream_ends_when_the_process_stops(idle_ledger: Ledger) -> None:
    async with streaming(idle_ledger.app, "/v1/events?follow=true", **AS_OPERATOR) as stream:
        await soon(stream.has_begun, bool)

        idle_ledger.app.state.stopping.set()

        assert await stream.line(timeout_s=2) is None


def position_of(line: bytes | None) -> Any:
    assert line is not None, "the stream has ended"
    return json.loads(line)["position"]
