"""A member's points as the doors show them: balances, statement, lots."""

from __future__ import annotations

from datetime import timedelta

from services.runtime.auth import Role
from services.runtime.clock import parse_rfc3339, rfc3339
from tests.support.asyncs import soon
from tests.support.ledger import Door, Ledger, a_purchase, a_return, answered, refused


async def settled(door: Door, events: int) -> None:
    """Wait until the log has so many events."""
    await soon(lambda: door.get("/events", limit=1000), lambda page: len(page["items"]) == events)


async def a_story(ledger: Ledger) -> Door:
    """Two purchases earn; some is spent, some of that given back, one purchase partly returned."""
    door = ledger.door()
    now = ledger.clock()
    await door.buy("p-1")
    await door.buy("p-2")
    ledger.award(100, purchase="p-1", expires_at=rfc3339(now + timedelta(days=10)))
    ledger.award(50, purchase="p-2", expires_at=None)
    await settled(door, 4)
    await door.redeem("s-1", 120)
    await door.put("/redemptions/s-1/reversal", {"points": 15}, wait_s=10)
    await door.put("/purchases/p-1/returns/r-1", a_return(), wait_s=10)
    ledger.take_back(30)
    await settled(door, 8)
    return door


async def test_balances_say_what_can_be_spent_and_until_when(ledger: Ledger) -> None:
    door = ledger.door()
    now = ledger.clock()
    soon_ending, later = rfc3339(now + timedelta(days=10)), rfc3339(now + timedelta(days=20))
    ledger.award(100, purchase="p-1", expires_at=later)
    ledger.award(20, purchase="p-2", expires_at=soon_ending)
    ledger.award(3, purchase="p-3", expires_at=later)
    ledger.award(7, purchase="p-4", expires_at=None)
    ledger.award(1, purchase="p-5", unit="stars")
    await settled(door, 5)

    found = answered(await door.http.get("/v1/members/1130/balances"), "answers/balances")

    assert found["member"] == "1130"
    points, stars = found["balances"]
    assert points == {
        "unit": "points",
        "available": 130,
        "pending": 0,
        "held": 0,
        "expiring": [
            {"points": 20, "expires_at": soon_ending},
            {"points": 103, "expires_at": later},
            {"points": 7, "expires_at": None},
        ],
    }
    assert (stars["unit"], stars["available"]) == ("stars", 1)


async def test_a_lot_is_worth_nothing_from_its_end_on(ledger: Ledger) -> None:
    door = ledger.door()
    end = ledger.clock() + timedelta(days=10)
    ledger.award(100, expires_at=rfc3339(end))
    await door.until_known()

    before, at_the_end = end - timedelta(microseconds=1), end

    assert await door.balance(at=rfc3339(before)) == 100
    assert await door.balance(at=rfc3339(at_the_end)) == 0
    ledger.ahead = timedelta(days=11)
    assert await door.balance() == 0
    assert await door.balance(at=rfc3339(before)) == 100


async def test_a_unit_once_had_stays_listed(ledger: Ledger) -> None:
    door = ledger.door()
    ledger.award(100)
    await door.until_known()
    await door.redeem("s-1", 100)

    found = await door.get("/members/1130/balances")

    assert [(line["unit"], line["available"]) for line in found["balances"]] == [("points", 0)]
    assert found["balances"][0]["expiring"] == []


async def test_what_is_owed_makes_the_balance_negative_and_still_sums(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy()
    ledger.award(100)
    await settled(door, 2)
    await door.redeem("s-1", 80)
    ledger.take_back(30)
    await settled(door, 4)

    now = answered(await door.http.get("/v1/members/1130/balances"), "answers/balances")
    then = await door.get("/members/1130/balances", at=rfc3339(ledger.clock()))

    [line] = now["balances"]
    assert line["available"] == -10
    assert line["expiring"] == [{"points": -10, "expires_at": None}]
    assert then["balances"] == now["balances"]


async def test_a_member_never_seen_is_unknown_and_one_without_points_is_not(
    ledger: Ledger,
) -> None:
    door = ledger.door()
    await door.buy(member="2375")

    for part in ("balances", "entries", "lots"):
        refused(await door.http.get(f"/v1/members/1130/{part}"), 404, "unknown-member")
    assert (await door.get("/members/2375/balances"))["balances"] == []
    assert (await door.get("/members/2375/entries")) == {"items": [], "next": None}
    assert (await door.get("/members/2375/lots")) == {"items": [], "next": None}


async def test_the_times_asked_for_are_said_again(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy()

    asked = "/v1/members/1130/balances?at=2017-01-01T12:30:27-05:00&known_at=2026-01-01T00:00:00Z"
    named = (await door.http.get(asked)).json()
    now = await door.get("/members/1130/balances")

    assert (named["at"], named["known_at"]) == ("2017-01-01T12:30:27-05:00", "2026-01-01T00:00:00Z")
    assert now["at"] == now["known_at"]
    assert abs(parse_rfc3339(now["at"]) - ledger.clock()) < timedelta(minutes=1)


async def test_the_statement_sums_to_the_balance(ledger: Ledger) -> None:
    door = await a_story(ledger)

    found = answered(await door.http.get("/v1/members/1130/entries"), "answers/entries")

    lines = found["items"]
    assert [(line["type"], line["points"], line["change"]) for line in lines] == [
        ("points.earned", 100, 100),
        ("points.earned", 50, 50),
        ("points.redeemed", 120, -120),
        ("points.restored", 15, 15),
        ("points.taken-back", 30, -30),
    ]
    assert sum(line["change"] for line in lines) == await door.balance() == 15
    assert [line["position"] for line in lines] == [3, 4, 5, 6, 8]
    assert lines[2]["redemption"] == "s-1"
    assert (lines[4]["purchase"], lines[4]["return"]) == ("p-1", "r-1")


async def test_repaying_a_debt_changes_nothing_that_can_be_spent(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy()
    ledger.award(100)
    await settled(door, 2)
    await door.redeem("s-1", 100)
    ledger.take_back(30)
    ledger.award(50, purchase="p-2")
    await settled(door, 6)

    lines = (await door.get("/members/1130/entries"))["items"]

    assert [(line["type"], line["change"]) for line in lines[-2:]] == [
        ("points.earned", 50),
        ("points.repaid", 0),
    ]
    assert sum(line["change"] for line in lines) == await door.balance() == 20


async def test_the_statement_comes_in_pages_that_new_entries_do_not_move(ledger: Ledger) -> None:
    door = await a_story(ledger)
    whole = (await door.get("/members/1130/entries"))["items"]

    first = await door.get("/members/1130/entries", limit=2)
    await door.redeem("s-2", 5)
    second = await door.get("/members/1130/entries", limit=3, after=first["next"])
    third = await door.get("/members/1130/entries", limit=3, after=second["next"])

    assert first["items"] + second["items"] == whole
    assert [line["type"] for line in third["items"]] == ["points.redeemed"]
    assert third["next"] is None


async def test_the_statement_of_a_unit_of_a_time_and_of_what_was_known(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy()
    ledger.award(1, purchase="p-2", unit="stars")
    ledger.award(100, earned_at="2017-01-01T12:30:27-05:00", expires_at=None)
    await settled(door, 3)

    async def asked(**params: str) -> list[str]:
        found = await door.get("/members/1130/entries", **params)
        return [line["unit"] for line in found["items"]]

    assert await asked() == ["stars", "points"]
    assert await asked(unit="points") == ["points"]
    assert await asked(at="2018-01-01T00:00:00Z") == ["points"]
    assert await asked(known_at="2018-01-01T00:00:00Z") == []


async def test_lots_say_what_is_left_of_them_and_what_earned_them(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy()
    now = ledger.clock()
    ledger.award(10, purchase="p-1", expires_at=rfc3339(now + timedelta(days=1)))
    ledger.award(20, purchase="p-2", expires_at=rfc3339(now + timedelta(days=2)))
    ledger.award(30, purchase="p-3", expires_at=rfc3339(now + timedelta(days=5)))
    await settled(door, 4)
    await door.redeem("s-1", 25)
    ledger.ahead = timedelta(days=3)
    await door.redeem("s-2", 30)

    found = answered(await door.http.get("/v1/members/1130/lots"), "answers/lots")
    page = await door.get("/members/1130/lots", limit=2)
    rest = await door.get("/members/1130/lots", limit=2, after=page["next"])

    lots = found["items"]
    assert [(lot["points"], lot["available"], lot["state"]) for lot in lots] == [
        (10, 0, "ended"),
        (20, 0, "ended"),
        (30, 0, "spent"),
    ]
    assert lots[0]["purchase"] == "p-1"
    assert (lots[0]["programme"], lots[0]["version"], lots[0]["rule"]) == ("grocer", 1, "base")
    assert page["items"] + rest["items"] == lots
    assert rest["next"] is None


async def test_every_key_reads_a_members_points(ledger: Ledger) -> None:
    ledger.award(100)
    await ledger.door().until_known()

    for role, merchant in [(Role.TILL, "baker"), (Role.MERCHANT, "baker"), (Role.AUDITOR, None)]:
        assert await ledger.door_of(role, merchant).balance() == 100


async def test_a_strangers_purchase_belongs_to_no_member(ledger: Ledger) -> None:
    door = ledger.door()

    await door.put("/purchases/p-1", a_purchase(member=None), wait_s=10)
    await door.put("/purchases/p-1/returns/r-1", a_return(), wait_s=10)

    found = answered(await door.http.get("/v1/purchases/p-1"), "answers/purchase")
    assert "member" not in found
    assert [each["id"] for each in found["returns"]] == ["r-1"]
