"""Why an entry stands there: back to the purchase and the rule, on to what its points paid for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from services.ledger.views import why as why_view
from services.runtime.auth import Role
from services.runtime.clock import rfc3339
from tests.support.asyncs import soon
from tests.support.ledger import Door, Ledger, a_return, answered, refused


async def entries(door: Door, count: int) -> list[dict[str, Any]]:
    found = await soon(
        lambda: door.http.get("/v1/members/1130/entries"),
        lambda answer: answer.is_success and len(answer.json()["items"]) == count,
    )
    items: list[dict[str, Any]] = found.json()["items"]
    return items


async def why(door: Door, entry: dict[str, Any], **params: int) -> Any:
    response = await door.http.get(f"/v1/entries/{entry['id']}/why", params=params)
    return answered(response, "answers/why")


async def test_earned_points_lead_back_to_the_basket_and_on_to_what_they_paid_for(
    ledger: Ledger,
) -> None:
    door = ledger.door()
    await door.buy()
    end = rfc3339(ledger.clock() + timedelta(days=10))
    lot = ledger.award(100, expires_at=end)
    await entries(door, 1)
    await door.redeem("s-1", 30, purchase="p-7")
    await door.redeem("s-2", 20)
    await door.redeem("s-3", 10)
    await door.put("/redemptions/s-2/reversal", {"points": 5}, wait_s=10)
    await door.put("/redemptions/s-3/reversal", wait_s=10)
    earned, *spent = (await entries(door, 6))[:3]

    found = await why(door, earned)

    assert found["entry"] == earned
    assert found["purchase"] == await door.get("/purchases/p-1")
    assert found["rule"] == {
        "programme": "grocer",
        "version": 1,
        "rule": "base",
        "arithmetic": {
            "amount_minor": 10_000,
            "currency": "USD",
            "per_minor": 100,
            "points_each": 1,
        },
    }
    assert "1 for each full 100 of 10000 (USD, smallest unit)" in found["sentence"]
    assert end in found["sentence"]
    assert found["lots"] == [
        {"lot": lot, "points": 100, "expires_at": end, "entry": earned["id"], "purchase": "p-1"}
    ]
    assert [(each["redemption"], each["points"]) for each in found["paid_for"]] == [
        ("s-1", 30),
        ("s-2", 15),
    ]
    assert found["paid_for"][0]["purchase"] == "p-7"
    assert [each["entry"] for each in found["paid_for"]] == [each["id"] for each in spent]
    assert found["next"] is None


async def test_spent_points_lead_back_to_the_purchases_that_earned_them(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy()
    now = ledger.clock()
    ledger.award(10, purchase="p-1", expires_at=rfc3339(now + timedelta(days=2)))
    ledger.award(20, purchase="p-2", expires_at=rfc3339(now + timedelta(days=1)))
    earned = await entries(door, 2)
    await door.redeem("s-1", 25)
    await door.put("/redemptions/s-1/reversal", {"points": 1}, wait_s=10)
    *_, redeemed, restored = await entries(door, 4)

    spent, given_back = await why(door, redeemed), await why(door, restored)

    assert [(lot["purchase"], lot["points"], lot["entry"]) for lot in spent["lots"]] == [
        ("p-2", 20, earned[1]["id"]),
        ("p-1", 5, earned[0]["id"]),
    ]
    assert [(lot["purchase"], lot["points"]) for lot in given_back["lots"]] == [("p-1", 1)]
    for lot in (spent["lots"][1], given_back["lots"][0]):  # p-2 was never recorded
        assert lot["bought"] == await door.get("/purchases/p-1")
        assert lot["rule"]["arithmetic"]["amount_minor"] == 1_000
    assert spent["lots"][0]["rule"]["arithmetic"]["amount_minor"] == 2_000
    assert "bought" not in spent["lots"][0]
    assert "purchase" not in spent
    assert "rule" not in spent


async def test_points_taken_back_repaid_and_expired_lead_back_to_the_purchase(
    ledger: Ledger,
) -> None:
    door = ledger.door()
    await door.buy("p-1")
    await door.buy("p-2")
    await door.buy("p-3")
    ledger.award(100, purchase="p-1")
    await entries(door, 1)
    await door.redeem("s-1", 90)
    await door.put("/purchases/p-1/returns/r-1", a_return(), wait_s=10)
    ledger.take_back(30)
    await entries(door, 3)
    end = ledger.clock() - timedelta(hours=1)
    ledger.award(50, purchase="p-2")
    await entries(door, 5)
    ledger.award(30, purchase="p-3", expires_at=rfc3339(end))
    *_, taken_back, _, repaid, _, expired = await entries(door, 7)

    back, again, ended = [await why(door, entry) for entry in (taken_back, repaid, expired)]

    assert back["purchase"]["returns"][0]["id"] == "r-1"
    assert back["rule"]["arithmetic"]["points_before"] == 30
    assert [lot["points"] for lot in back["lots"]] == [10]
    assert "20 of them are still owed" in back["sentence"]
    assert (again["purchase"]["id"], again["rule"]["rule"]) == ("p-2", "base")
    assert [lot["points"] for lot in again["lots"]] == [20]
    assert (ended["purchase"]["id"], ended["rule"]["rule"]) == ("p-3", "base")
    assert [lot["points"] for lot in ended["lots"]] == [30]


async def test_another_merchant_sees_the_points_and_not_the_basket(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy()
    ledger.award(100)
    await entries(door, 1)
    await door.redeem("s-1", 30)
    earned, redeemed = await entries(door, 2)
    baker, grocer = ledger.door_of(Role.TILL, "baker"), ledger.door_of(Role.TILL, "grocer")

    for entry in (earned, redeemed):
        found = await why(baker, entry)
        assert found["entry"] == entry
        assert not {"purchase", "rule"} & found.keys()
        assert not {"purchase", "bought"} & found["lots"][0].keys()
    assert (await why(grocer, earned))["purchase"]["id"] == "p-1"


async def test_what_is_no_entry_has_no_why(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy()
    [event] = (await door.get("/events"))["items"]

    for id_ in (event["id"], str(uuid5(NAMESPACE_URL, "nothing"))):
        refused(await door.http.get(f"/v1/entries/{id_}/why"), 404, "unknown-entry")


async def test_long_lists_come_in_pages(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(why_view, "LIST_MAX", 2)
    door = ledger.door()
    for number in range(3):
        ledger.award(10, purchase=f"p-{number}")
    earned = (await entries(door, 3))[0]
    for number in range(3):
        await door.redeem(f"s-{number}", 2)
    await door.redeem("s-all", 24)
    redeemed = (await entries(door, 7))[-1]

    first, lots = await why(door, earned), await why(door, redeemed)
    second = await why(door, earned, after=first["next"])
    more_lots = await why(door, redeemed, after=lots["next"])

    paid_for = [each["redemption"] for each in (*first["paid_for"], *second["paid_for"])]
    assert paid_for == ["s-0", "s-1", "s-2", "s-all"]
    assert second["next"] is None
    assert [len(page["lots"]) for page in (lots, more_lots)] == [2, 1]
    assert more_lots["next"] is None
