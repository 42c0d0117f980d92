"""The terms of a programme stay with its points: when they are credited, what a return forgives."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e import answers
from tests.e2e.shop import Json, Shop, ago, problem
from tests.support.eventually import eventually

# In UTC, so that fourteen days are as long whenever the story is told; with units of its own,
# because the grocer's programme answers every merchant's purchases.
BOOKSHOP = """
programme: bookshop
currency: USD
time_zone: UTC
merchants: [bookshop]
units:
  miles: {expires: {end_of: year, after: P1Y}, credited_after: P14D}
  stars: {expires_after: P1Y, when_spent: write-off}
rules:
  base: {on: purchase, earn: {unit: miles, points: 1, per: "10.00"}}
  bonus: {on: purchase, earn: {unit: stars, points: 1, per: "10.00"}}
"""
VERSION = "/v1/programmes/bookshop/versions/1"


@pytest.fixture
def bookshop(shop: Shop) -> Shop:
    """Another merchant of the same installation, with a programme of its own."""
    shop.client.headers["Stampbook-Merchant"] = "bookshop"
    yaml = {"Content-Type": "application/yaml"}
    written = shop.client.put(VERSION, content=BOOKSHOP, headers=yaml)
    assert written.is_success, written.text
    shop.client.post(f"{VERSION}/activate")  # or an earlier story did
    assert shop.client.get(VERSION).json()["state"] == "active"
    return shop


def test_points_are_promised_for_a_date_and_seen_until_then(bookshop: Shop) -> None:
    member = bookshop.name("m")
    bought = bookshop.buy(bookshop.name("b"), member, 4_200)
    eventually(lambda: bookshop.balance(member, "miles"))

    balance = bookshop.balance(member, "miles")
    [lot] = of_unit("miles", bookshop.lots(member))
    why = bookshop.get(f"entries/{lot['entry']}/why")
    refused = bookshop.redeem(bookshop.name("r"), member, 1, unit="miles")

    bought_at = datetime.fromisoformat(bought["purchased_at"])
    credit_at = datetime.fromisoformat(lot["credit_at"])
    assert balance is not None
    assert (balance["available"], balance["pending"]) == (0, 4)
    assert (lot["state"], lot["pending"], lot["available"]) == ("pending", 4, 0)
    assert credit_at == bought_at + timedelta(days=14)
    assert datetime.fromisoformat(lot["expires_at"]) == datetime(
        bought_at.year + 2, 1, 1, tzinfo=UTC
    )
    assert f"At hand from {lot['credit_at']} on." in why["sentence"]
    assert problem(refused, 409) == "not-enough-points"


def test_the_clock_credits_what_was_promised(bookshop: Shop) -> None:
    member = bookshop.name("m")
    bought_at = datetime.now(UTC) - timedelta(days=14) + timedelta(seconds=2)
    bookshop.buy(bookshop.name("b"), member, 4_200, purchased_at=bought_at.isoformat())

    eventually(lambda: len(of_unit("miles", bookshop.entries(member))) == 2)

    balance = bookshop.balance(member, "miles")
    [earned, credited] = of_unit("miles", bookshop.entries(member))
    [event] = [e for e in bookshop.events(member=member) if e["id"] == credited["id"]]
    assert balance is not None
    assert (balance["available"], balance["pending"]) == (4, 0)
    assert (earned["change"], credited["change"], credited["type"]) == (0, 4, "points.credited")
    answers.check_event(event)
    assert datetime.fromisoformat(event["data"]["promised_at"]) == bought_at + timedelta(days=14)


def test_spent_points_of_a_return_are_forgiven_where_the_programme_says_so(bookshop: Shop) -> None:
    member, purchase = bookshop.name("m"), bookshop.name("b")
    bookshop.buy(purchase, member, 6_000)
    eventually(lambda: bookshop.balance(member, "stars"))
    bookshop.redeem(bookshop.name("r"), member, 5, unit="stars")

    returned = bookshop.give_back(f"{purchase}/r1", {"1": 6_000}, returned_at=ago(minutes=1))
    eventually(lambda: len(written_off(bookshop, member)) == 1)

    [event] = written_off(bookshop, member)
    stars = bookshop.balance(member, "stars")
    miles = bookshop.balance(member, "miles")
    assert returned.status_code == 200
    answers.check_event(event)
    assert (event["data"]["unit"], event["data"]["points"]) == ("stars", 5)
    assert stars is None or stars["available"] == 0
    assert miles is None or (miles["available"], miles["pending"]) == (0, 0)
    assert sum(each["change"] for each in of_unit("stars", bookshop.entries(member))) == 0


def of_unit(unit: str, items: list[Json]) -> list[Json]:
    """Of a page, what is about one kind of points."""
    return [item for item in items if item["unit"] == unit]


def written_off(shop: Shop, member: str) -> list[Json]:
    """What the log says was forgiven this member."""
    name = "stampbook.points.written-off.v1"
    return [event for event in shop.events(member=member) if event["type"] == name]
