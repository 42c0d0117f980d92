"""Points are spent once, never twice, and come back to where they were."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import httpx

from tests.e2e.shop import Shop, ago, problem

CLIENTS = 64


def test_spends_what_ends_soonest_first(shop: Shop) -> None:
    member = shop.name("m")
    shop.buy(shop.name("late"), member, 3_000, purchased_at=ago(days=10))
    shop.buy(shop.name("soon"), member, 2_000, purchased_at=ago(days=30))
    shop.wait_for_points(member, 5)

    answer = shop.redeem(shop.name("r"), member, 3, purchase=shop.name("late"))

    assert (answer.status_code, answer.json()["outcome"]) == (200, "recorded")
    left = {lot["purchase"]: lot["available"] for lot in shop.lots(member)}
    assert left == {shop.name("soon"): 0, shop.name("late"): 2}
    [*_, event] = shop.events(member=member)
    assert [part["points"] for part in event["data"]["lots"]] == [2, 1]
    assert event["data"]["purchase"] == shop.name("late")


def test_spending_again_with_the_same_id_spends_once(shop: Shop) -> None:
    member = shop.name("m")
    shop.buy(shop.name("b"), member, 5_000)
    shop.wait_for_points(member, 5)

    first = shop.redeem(shop.name("r"), member, 2)
    again = shop.redeem(shop.name("r"), member, 2)
    other = shop.redeem(shop.name("r"), member, 3)

    assert first.text == again.text
    assert problem(other, 409) == "id-reused"
    assert shop.points(member) == 3


def test_what_is_not_there_cannot_be_spent_and_stays_declined(shop: Shop) -> None:
    member = shop.name("m")
    shop.buy(shop.name("b"), member, 2_000)
    shop.wait_for_points(member, 2)

    refused = shop.redeem(shop.name("r"), member, 3)
    shop.buy(shop.name("b-2"), member, 5_000)
    shop.wait_for_points(member, 7)

    assert problem(refused, 409) == "not-enough-points"
    assert problem(shop.redeem(shop.name("r"), member, 3), 409) == "not-enough-points"
    assert shop.redeem(shop.name("r-2"), member, 3).status_code == 200
    assert shop.get(f"outcomes/redemption/{shop.name('r')}")["outcome"] == "declined"


def test_a_reversal_gives_back_to_the_very_lots(shop: Shop) -> None:
    member = shop.name("m")
    shop.buy(shop.name("b-1"), member, 3_000, purchased_at=ago(days=30))
    shop.buy(shop.name("b-2"), member, 4_000, purchased_at=ago(days=10))
    shop.wait_for_points(member, 7)
    before = shop.balance(member)
    shop.redeem(shop.name("r"), member, 5)

    answers = [shop.reverse(shop.name("r")) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert shop.balance(member) == before
    assert problem(shop.reverse(shop.name("r"), 1), 409) == "id-reused"


def test_a_partial_reversal_gives_back_what_was_spent_last(shop: Shop) -> None:
    member = shop.name("m")
    shop.buy(shop.name("soon"), member, 3_000, purchased_at=ago(days=30))
    shop.buy(shop.name("late"), member, 4_000, purchased_at=ago(days=10))
    shop.wait_for_points(member, 7)
    shop.redeem(shop.name("r"), member, 5)

    answer = shop.reverse(shop.name("r"), 3)

    assert answer.status_code == 200
    left = {lot["purchase"]: lot["available"] for lot in shop.lots(member)}
    assert left == {shop.name("soon"): 1, shop.name("late"): 4}


def test_no_reversal_gives_more_than_was_spent(shop: Shop) -> None:
    member = shop.name("m")
    shop.buy(shop.name("b"), member, 3_000)
    shop.wait_for_points(member, 3)
    shop.redeem(shop.name("r"), member, 2)

    assert problem(shop.reverse(shop.name("r"), 3), 409) == "reversal-too-large"
    assert problem(shop.reverse(shop.name("never")), 409) == "unknown-redemption"
    assert shop.points(member) == 1


def test_64_clients_who_spend_the_same_points_at_once_spend_them_once(shop: Shop) -> None:
    member = shop.name("m")
    shop.buy(shop.name("b"), member, 100_000)
    shop.wait_for_points(member, 100)
    all_are_here = Barrier(CLIENTS)

    def spend(number: int) -> httpx.Response:
        all_are_here.wait(30)
        return shop.redeem(shop.name(f"r{number}"), member, 10)

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(spend, range(CLIENTS)))

    assert Counter(answer.status_code for answer in answers) == {200: 10, 409: CLIENTS - 10}
    refused = [answer for answer in answers if answer.status_code == 409]
    assert {problem(answer, 409) for answer in refused} == {"not-enough-points"}
    assert shop.points(member) == 0
    assert [entry["change"] for entry in shop.entries(member)] == [100, *[-10] * 10]
