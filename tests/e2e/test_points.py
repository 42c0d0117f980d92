"""A member buys, and points follow: balance, statement, lots, the reason why, the log."""

from datetime import UTC, datetime

import pytest

from tests.e2e import answers
from tests.e2e.shop import Shop, ago, problem
from tests.support.eventually import eventually
from tests.support.grocer import year_after

FLASH = """
programme: flash
currency: USD
time_zone: America/New_York
merchants: [florist]
units: {petals: {expires_after: PT3S}}
rules: {base: {on: purchase, earn: {unit: petals, points: 1, per: "1.00"}}}
"""


def test_a_purchase_earns_points_for_its_lines_rounded_down_once(shop: Shop) -> None:
    member = shop.name("m")

    bought = shop.buy(shop.name("b"), member, 1_234, 866, shipping_minor=5_000)

    shop.wait_for_points(member, 2)
    balance = shop.balance(member)
    assert balance is not None
    assert (balance["pending"], balance["held"]) == (0, 0)
    [end] = balance["expiring"]
    assert end["points"] == 2
    assert datetime.fromisoformat(end["expires_at"]) == year_after(bought["purchased_at"])


def test_an_entry_says_why_it_stands_there_and_what_it_paid_for(shop: Shop) -> None:
    member, purchase = shop.name("m"), shop.name("b")
    bought = shop.buy(purchase, member, 4_237)
    shop.wait_for_points(member, 4)
    shop.redeem(shop.name("r"), member, 3)

    [earned, redeemed] = shop.entries(member)
    why = shop.get(f"entries/{earned['id']}/why")
    [lot] = shop.lots(member)

    assert [earned["change"], redeemed["change"]] == [4, -3]
    assert earned["purchase"] == purchase
    assert why["purchase"]["lines"] == bought["lines"]
    assert (why["rule"]["programme"], why["rule"]["rule"]) == ("grocer", "base")
    assert why["rule"]["arithmetic"] == {
        "amount_minor": 4_237,
        "currency": "USD",
        "per_minor": 1_000,
        "points_each": 1,
    }
    assert [(each["lot"], each["points"]) for each in why["lots"]] == [(lot["lot"], 4)]
    assert [(each["redemption"], each["points"]) for each in why["paid_for"]] == [
        (shop.name("r"), 3)
    ]
    assert (lot["points"], lot["available"], lot["entry"]) == (4, 1, earned["id"])


def test_the_log_holds_what_happened_in_its_order(shop: Shop) -> None:
    member, purchase = shop.name("m"), shop.name("b")
    before = shop.end_of_log()
    content = shop.buy(purchase, member, 1_000)
    shop.wait_for_points(member, 1)

    [recorded, earned] = shop.events(after=before, member=member)

    for event in (recorded, earned):
        answers.check_event(event)
    assert recorded["type"] == "stampbook.purchase.recorded.v1"
    assert recorded["data"] == {**content, "purchase": purchase}
    assert (earned["type"], earned["subject"]) == ("stampbook.points.earned.v1", member)
    assert earned["time"] == recorded["time"]
    assert int(before) < recorded["position"] < earned["position"]
    outcome = shop.get(f"outcomes/purchase/{purchase}")
    assert (outcome["outcome"], outcome["positions"]) == ("recorded", [recorded["position"]])


def test_a_trace_goes_with_the_purchase_to_its_points(shop: Shop) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    member = shop.name("m")
    content = shop.purchase(member, 1_000)

    shop.put(f"purchases/{shop.name('b')}", content, traceparent=f"00-{trace}-00f067aa0ba902b7-01")
    shop.wait_for_points(member, 1)

    assert [event["traceparent"].split("-")[1] for event in shop.events(member=member)] == [
        trace,
        trace,
    ]


def test_a_purchase_is_safe_before_it_is_decided(shop: Shop) -> None:
    member, purchase = shop.name("m"), shop.name("b")

    answer = shop.client.put(f"/v1/purchases/{purchase}", json=shop.purchase(member, 1_000))

    assert (answer.status_code, answer.json()["outcome"]) == (202, "accepted")
    assert answer.headers["location"] == f"/v1/outcomes/purchase/{purchase}"
    shop.wait_for_points(member, 1)
    assert shop.client.get(answer.headers["location"]).json()["outcome"] == "recorded"


def test_the_same_id_means_the_same_purchase_for_ever(shop: Shop) -> None:
    member, purchase = shop.name("m"), shop.name("b")
    content = shop.buy(purchase, member, 1_000)
    shop.wait_for_points(member, 1)

    again = shop.put(f"purchases/{purchase}", dict(reversed(content.items())))
    other = shop.put(f"purchases/{purchase}", {**content, "shop": "7"})

    assert (again.status_code, again.json()["outcome"]) == (200, "recorded")
    assert problem(other, 409) == "id-reused"
    assert len(shop.entries(member)) == 1


def test_a_stranger_buys_and_earns_nothing(shop: Shop) -> None:
    before = shop.end_of_log()

    shop.buy(shop.name("b"), None, 5_000)

    [event] = [e for e in shop.events(after=before) if e["data"]["purchase"] == shop.name("b")]
    assert "subject" not in event
    assert shop.get(f"purchases/{shop.name('b')}")["returns"] == []


def test_too_small_a_purchase_earns_nothing(shop: Shop) -> None:
    member = shop.name("m")

    shop.buy(shop.name("b-1"), member, 999, 0)
    shop.buy(shop.name("b-2"), member, 1_000)

    shop.wait_for_points(member, 1)
    assert [entry["purchase"] for entry in shop.entries(member)] == [shop.name("b-2")]


def test_a_member_who_never_came_is_unknown(shop: Shop) -> None:
    for view in ("balances", "entries", "lots"):
        answer = shop.client.get(f"/v1/members/{shop.name('nobody')}/{view}")
        assert problem(answer, 404) == "unknown-member"


def test_balances_can_be_asked_for_as_of_another_time(shop: Shop) -> None:
    member = shop.name("m")
    first = shop.buy(shop.name("b-1"), member, 2_000, purchased_at=ago(days=20))
    shop.buy(shop.name("b-2"), member, 3_000, purchased_at=ago(days=10))
    shop.wait_for_points(member, 5)

    then = shop.get(f"members/{member}/balances", at=ago(days=15))["balances"]
    before = shop.get(f"members/{member}/balances", at=ago(days=30))["balances"]
    after = shop.get(
        f"members/{member}/balances", at=year_after(first["purchased_at"]).isoformat()
    )["balances"]

    assert [each["available"] for each in then] == [2]
    assert [each["available"] for each in before] in ([], [0])
    assert [each["available"] for each in after] == [3]


def test_points_end_at_their_instant_and_the_log_says_so(shop: Shop) -> None:
    headers = {"Content-Type": "application/yaml", "Stampbook-Merchant": "florist"}
    shop.client.put("/v1/programmes/flash/versions/1", content=FLASH, headers=headers)
    shop.client.post("/v1/programmes/flash/versions/1/activate")
    member = shop.name("m")
    bought_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    content = shop.purchase(member, 700, purchased_at=bought_at)

    shop.put(f"purchases/{shop.name('b')}", content, **{"Stampbook-Merchant": "florist"})
    eventually(lambda: len(shop.entries(member)) == 2)

    earned, expired = shop.entries(member)
    assert (earned["points"], expired["change"], expired["type"]) == (7, -7, "points.expired")
    assert expired["at"] == earned["expires_at"]
    assert shop.balance(member, "petals") in (
        None,
        {"unit": "petals", "available": 0, "pending": 0, "held": 0, "expiring": []},
    )


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"currency": "EUR"}, "/currency"),
        ({"purchased_at": "2024-02-30T10:00:00Z"}, "/purchased_at"),
        ({"purchased_at": "2024-02-03T10:00:00"}, "/purchased_at"),
        ({"colour": "red"}, "/colour"),
        ({"lines": []}, "/lines"),
        ({"member": "a@b.example"}, "/member"),
    ],
)
def test_a_bad_purchase_is_refused_with_the_place(
    shop: Shop, change: dict[str, object], pointer: str
) -> None:
    answer = shop.put(f"purchases/{shop.name('b')}", {**shop.purchase("m", 1_000), **change})

    assert problem(answer, 422) == "invalid"
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
