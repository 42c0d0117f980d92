"""What comes back takes its points along, and no others."""

from tests.e2e.shop import Shop, ago, problem


def test_a_return_takes_back_the_points_of_what_was_returned_only(shop: Shop) -> None:
    member, purchase = shop.name("m"), shop.name("b")
    shop.buy(purchase, member, 3_000, 2_550)
    shop.wait_for_points(member, 5)

    answer = shop.give_back(f"{purchase}/r1", {"2": 2_550})

    assert (answer.status_code, answer.json()["id"]) == (200, f"{purchase}/r1")
    shop.wait_for_points(member, 3)
    [_, taken] = shop.entries(member)
    why = shop.get(f"entries/{taken['id']}/why")
    assert (taken["type"], taken["change"], taken["return"]) == ("points.taken-back", -2, "r1")
    arithmetic = why["rule"]["arithmetic"]
    assert (arithmetic["kept_before_minor"], arithmetic["kept_after_minor"]) == (5_550, 3_000)
    assert (arithmetic["points_before"], arithmetic["points_after"]) == (5, 3)
    [returned] = shop.get(f"purchases/{purchase}")["returns"]
    assert (returned["id"], [line["amount_minor"] for line in returned["lines"]]) == ("r1", [2_550])


def test_a_return_that_is_sent_again_counts_once(shop: Shop) -> None:
    member, purchase = shop.name("m"), shop.name("b")
    shop.buy(purchase, member, 2_000, 2_000)
    shop.wait_for_points(member, 4)
    returned_at = ago(minutes=5)

    sent = [
        shop.give_back(f"{purchase}/r1", {"1": 2_000}, returned_at=returned_at) for _ in range(3)
    ]
    other = shop.give_back(f"{purchase}/r1", {"1": 1_000}, returned_at=returned_at)

    assert {answer.status_code for answer in sent} == {200}
    assert len({answer.text for answer in sent}) == 1
    assert problem(other, 409) == "id-reused"
    shop.wait_for_points(member, 2)


def test_returns_of_a_purchase_add_up_whatever_their_order(shop: Shop) -> None:
    member, purchase = shop.name("m"), shop.name("b")
    shop.buy(purchase, member, 1_900, 1_900, 1_900)
    shop.wait_for_points(member, 5)

    shop.give_back(f"{purchase}/r2", {"3": 1_900}, returned_at=ago(minutes=2))
    shop.give_back(f"{purchase}/r1", {"1": 1_900}, returned_at=ago(minutes=9))
    shop.give_back(f"{purchase}/r3", {"2": 1_900}, returned_at=ago(minutes=1))

    shop.wait_for_points(member, 0)
    assert [entry["change"] for entry in shop.entries(member)] == [5, -2, -2, -1]


def test_a_return_waits_for_its_purchase(shop: Shop) -> None:
    member, purchase = shop.name("m"), shop.name("b")

    early = shop.client.put(
        f"/v1/purchases/{purchase}/returns/r1",
        json={
            "returned_at": ago(minutes=1),
            "lines": [{"line": "1", "quantity": 1, "amount_minor": 4_000}],
        },
        headers={"Prefer": "wait=5"},
    )
    waiting = shop.get("dead-letters", waiting="true", limit=1_000)["items"]
    shop.buy(purchase, member, 4_000, 3_000)

    assert (early.status_code, early.json()["outcome"]) == (202, "accepted")
    assert f"{purchase}/r1" in [each["id"] for each in waiting]
    shop.wait_for_points(member, 3)
    assert shop.get(f"outcomes/return/{purchase}/r1")["outcome"] == "recorded"
    after = shop.get("dead-letters", waiting="true", limit=1_000)["items"]
    assert f"{purchase}/r1" not in [each["id"] for each in after]
    assert [entry["change"] for entry in shop.entries(member)] == [7, -4]


def test_what_cannot_come_back_is_declined(shop: Shop) -> None:
    member, purchase = shop.name("m"), shop.name("b")
    shop.buy(purchase, member, 5_000)
    shop.wait_for_points(member, 5)

    too_much = shop.give_back(f"{purchase}/r1", {"1": 5_001})
    no_such_line = shop.give_back(f"{purchase}/r2", {"2": 1})
    too_early = shop.give_back(f"{purchase}/r3", {"1": 1}, returned_at=ago(days=1))

    assert problem(too_much, 409) == "return-too-large"
    assert problem(no_such_line, 409) == "unknown-line"
    assert problem(too_early, 409) == "return-before-purchase"
    assert shop.get(f"outcomes/return/{purchase}/r1")["outcome"] == "declined"
    assert shop.get(f"purchases/{purchase}")["returns"] == []
    assert shop.points(member) == 5


def test_points_that_were_spent_are_owed_and_repaid(shop: Shop) -> None:
    member, purchase = shop.name("m"), shop.name("b")
    shop.buy(purchase, member, 6_000)
    shop.wait_for_points(member, 6)
    shop.redeem(shop.name("r"), member, 5)

    shop.give_back(f"{purchase}/r1", {"1": 6_000})
    shop.wait_for_points(member, -5)
    refused = shop.redeem(shop.name("r-2"), member, 1)
    shop.buy(shop.name("b-2"), member, 8_000)
    shop.wait_for_points(member, 3)

    assert problem(refused, 409) == "not-enough-points"
    types = [event["type"] for event in shop.events(member=member)]
    assert types[-2:] == ["stampbook.points.earned.v1", "stampbook.points.repaid.v1"]
    assert sum(entry["change"] for entry in shop.entries(member)) == 3
