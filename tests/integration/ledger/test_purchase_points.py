"""From a purchase forward: its lots, and everything that their points paid for."""

from __future__ import annotations

from datetime import timedelta

from services.runtime.clock import rfc3339
from tests.support.asyncs import soon
from tests.support.ledger import Door, Ledger, answered, refused


async def a_life(ledger: Ledger) -> Door:
    """Two lots of one purchase pay for two things; one is reversed in part, the rest goes back."""
    door = ledger.door()
    now = ledger.clock()
    await door.buy()
    ledger.award(30, expires_at=rfc3339(now + timedelta(days=2)))
    ledger.award(30, unit="stars")
    ledger.award(10, purchase="p-2", expires_at=rfc3339(now + timedelta(days=1)))
    await soon(lambda: door.get("/events"), lambda page: len(page["items"]) == 4)
    await door.redeem("s-1", 5)
    await door.redeem("s-2", 15, purchase="p-7")
    await door.redeem("s-3", 7, unit="stars")
    await door.put("/redemptions/s-2/reversal", {"points": 4}, wait_s=10)
    ledger.take_back(20)
    await soon(lambda: door.get("/events"), lambda page: len(page["items"]) == 9)
    return door


async def test_leads_to_its_lots_and_to_all_that_became_of_them(ledger: Ledger) -> None:
    door = await a_life(ledger)

    found = answered(await door.http.get("/v1/purchases/p-1/points"), "answers/purchase-points")

    lots = {line["unit"]: line for line in found["lots"]}
    assert {unit: (line["points"], line["available"]) for unit, line in lots.items()} == {
        "points": (30, 4),
        "stars": (30, 23),
    }
    assert lots["points"]["rule"]["arithmetic"]["amount_minor"] == 3_000
    assert lots["points"]["member"] == "1130"
    assert [
        (item["entry"]["type"], item["entry"].get("redemption"), item["lots"][0]["change"])
        for item in found["items"]
    ] == [
        ("points.redeemed", "s-2", -10),  # s-1 and half of s-2 were the other purchase's
        ("points.redeemed", "s-3", -7),
        ("points.restored", "s-2", 4),
        ("points.taken-back", None, -20),
    ]
    assert found["items"][0]["entry"]["purchase"] == "p-7"
    assert found["next"] is None


async def test_comes_in_pages(ledger: Ledger) -> None:
    door = await a_life(ledger)
    whole = await door.get("/purchases/p-1/points")

    pages = [await door.get("/purchases/p-1/points", limit=1)]
    while pages[-1]["next"] is not None:
        pages.append(await door.get("/purchases/p-1/points", limit=1, after=pages[-1]["next"]))

    assert [item for page in pages for item in page["items"]] == whole["items"]
    assert all(page["lots"] == whole["lots"] for page in pages)
    assert len(pages) == 4


async def test_a_purchase_that_earned_nothing_or_is_unknown(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy()
    ledger.award(10, purchase="p-1", merchant="baker")  # of the same name

    found = await door.get("/purchases/p-1/points")

    assert (found["lots"], found["items"], found["next"]) == ([], [], None)
    refused(await door.http.get("/v1/purchases/p-9/points"), 404, "unknown-purchase")
    baker = ledger.door("baker")
    refused(await baker.http.get("/v1/purchases/p-1/points"), 404, "unknown-purchase")
