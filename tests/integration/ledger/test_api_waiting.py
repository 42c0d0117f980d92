"""Those who wait hold nobody up, and shops keep selling while the database is down."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.ledger.store.outcomes import Outcome
from services.ledger.waiting import Bell, Outcomes
from services.runtime.auth import Role
from services.runtime.database import Database
from tests.support.asyncs import soon
from tests.support.ledger import Door, Ledger, a_purchase, answered, idle, refused
from tests.support.outage import Outage

BALANCES = 50


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def outage(database: Database) -> Outage:
    return Outage(database)


@pytest.fixture
def shop(outage: Outage, tmp_path: Path) -> Iterator[Ledger]:
    """Its database can be away; its writer is."""
    with idle(outage, tmp_path) as ledger:
        yield ledger


async def seconds_for_balances(door: Door) -> float:
    began = time.perf_counter()
    for _ in range(BALANCES):
        assert await door.balance() == 100
    return time.perf_counter() - began


async def test_a_thousand_who_wait_slow_no_balance_and_hold_no_thread(
    idle_ledger: Ledger,
) -> None:
    door = idle_ledger.door()
    idle_ledger.award(100)
    with idle_ledger.deciding():
        await door.until_known()
    alone_s = await seconds_for_balances(door)
    threads = threading.active_count()

    body = {"member": "1130", "unit": "points", "points": 1}
    waiting = [
        asyncio.create_task(door.put(f"/redemptions/s-{number}", body, wait_s=30))
        for number in range(1_000)
    ]
    await soon(idle_ledger.intake_count, lambda count: count == 1_001)
    crowded_s = await seconds_for_balances(door)
    more_threads = threading.active_count() - threads
    with idle_ledger.deciding():
        answers = await asyncio.gather(*waiting)

    assert crowded_s < 5 * alone_s + 5, "each of them would have held a thread for 30 s"
    assert more_threads < 40, "as many as read, not as many as wait"
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 100
    assert statuses.count(409) == 900


async def test_shops_keep_selling_while_the_database_is_down(shop: Ledger, outage: Outage) -> None:
    till = shop.door_of(Role.TILL)
    await till.get("/keys/self")
    outage.is_on = True
    shop.ahead += timedelta(hours=1)

    sold = [await till.put(f"/purchases/p-{n}", a_purchase()) for n in range(3)]
    waited = await till.put("/purchases/p-9", a_purchase(), wait_s=1)
    other = await till.put("/purchases/p-1", a_purchase(shop="364"))

    assert [response.status_code for response in (*sold, waited)] == [202] * 4
    refused(other, 409, "id-reused")
    outage.is_on = False
    with shop.deciding():
        await soon(
            lambda: till.http.get("/v1/purchases/p-9"), lambda answer: answer.status_code == 200
        )


async def test_what_needs_the_database_says_when_to_come_back(shop: Ledger, outage: Outage) -> None:
    till = shop.door_of(Role.TILL)
    await till.get("/keys/self")
    outage.is_on = True

    redemption = await till.redeem("s-1", 10)
    balances = await till.http.get("/v1/members/1130/balances")
    stranger = await Door(shop.door().http).http.get(
        "/v1/keys/self", headers={"Authorization": "Bearer sb_never_seen"}
    )

    for response in (redemption, balances, stranger):
        refused(response, 503, "unavailable")
        assert int(response.headers["retry-after"]) >= 1


async def test_a_key_is_not_remembered_for_ever(shop: Ledger, outage: Outage) -> None:
    till = shop.door_of(Role.TILL)
    await till.get("/keys/self")
    outage.is_on = True

    shop.ahead += timedelta(hours=11)
    assert (await till.put("/purchases/p-1", a_purchase())).status_code == 202
    shop.ahead += timedelta(hours=2)
    refused(await till.put("/purchases/p-2", a_purchase()), 503, "unavailable")


async def test_a_database_that_is_down_is_not_asked_by_every_sale(
    shop: Ledger, outage: Outage
) -> None:
    till = shop.door_of(Role.TILL)
    await till.get("/keys/self")
    outage.is_on = True
    outage.asked = 0

    for number in range(20):
        await till.put(f"/purchases/p-{number}", a_purchase())

    assert outage.asked <= 4


async def test_a_database_that_hangs_delays_a_sale_by_a_second_at_most(
    shop: Ledger, outage: Outage
) -> None:
    till = shop.door_of(Role.TILL)
    await till.get("/keys/self")
    outage.let_go.clear()
    began = time.monotonic()

    try:
        sold = await asyncio.gather(
            *(till.put(f"/purchases/p-{n}", a_purchase()) for n in range(20))
        )
        took_s = time.monotonic() - began
    finally:
        outage.let_go.set()

    assert {response.status_code for response in sold} == {202}
    assert took_s < 10


async def test_a_stream_that_is_closed_refuses_and_holds_no_id(shop: Ledger) -> None:
    door = shop.door()
    shop.producer.close()

    response = await door.put("/purchases/p-1", a_purchase())

    refused(response, 503, "unavailable")
    assert response.headers["retry-after"] == "1"
    refused(await door.http.get("/v1/outcomes/purchase/p-1"), 404, "unknown-outcome")


async def test_a_missed_ring_delays_and_loses_nothing(ledger: Ledger) -> None:
    bell = Bell(ledger.database, "no-such-bell")
    outcomes = Outcomes(ledger.database, bell)
    door = ledger.door()
    await door.buy()
    key = (await key_of_the_only_outcome(ledger))[0]

    with outcomes.awaiting([key]) as wait:
        found = await wait.within(10)

    assert [outcome.outcome for outcome in found.values()] == ["recorded"]


async def test_many_may_wait_for_the_same_and_leave_when_they_like(ledger: Ledger) -> None:
    door = ledger.door()
    purchases = [door.buy("p-1") for _ in range(20)]
    gone = asyncio.create_task(door.buy("p-1"))
    await asyncio.sleep(0)

    gone.cancel()
    answers = await asyncio.gather(*purchases)

    assert {answer.status_code for answer in answers} == {200}
    assert all(answered(answer, "outcome")["positions"] == [1] for answer in answers)


async def key_of_the_only_outcome(ledger: Ledger) -> tuple[bytes, Outcome]:
    with ledger.database.read() as connection:
        [(key, *rest)] = connection.rows("SELECT command, fingerprint, outcome FROM outcomes")
    return bytes(key), Outcome(*rest)


async def test_a_card_met_lately_goes_on_buying_while_the_database_is_away(
    shop: Ledger, outage: Outage
) -> None:
    door = shop.door()
    with shop.deciding():
        await door.put("/cards/77", {"member": "1130"}, wait_s=10)
    forgetful = shop.door(app=shop.fresh_app())
    outage.is_on = True

    met = await door.put("/purchases/p-1", a_purchase(member=None, card="77"), wait_s=0)
    # Whose order it belongs into decides the key that it lies under: better late than astray.
    unmet = await forgetful.put("/purchases/p-2", a_purchase(member=None, card="77"), wait_s=0)
    paid = await forgetful.put("/purchases/p-3", a_purchase(), wait_s=0)

    assert (met.status_code, unmet.status_code, paid.status_code) == (202, 503, 202)
