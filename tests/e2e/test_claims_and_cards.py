"""Whose is what: a stranger's purchase is claimed, a lost card is blocked and replaced."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from tests.e2e import answers
from tests.e2e.conftest import FULL
from tests.e2e.shop import Json, Shop, ago, problem
from tests.support.eventually import eventually
from tests.support.kafka_door import kafka_door
from tests.support.receiver import Receiver


def short(events: list[Json]) -> list[str]:
    """What happened, without prefix and version."""
    return [event["type"].removeprefix("stampbook.").removesuffix(".v1") for event in events]


def test_a_strangers_purchase_is_claimed_and_earns_what_it_would_have_earned(
    shop: Shop, receiver: Receiver
) -> None:
    member, purchase = shop.name("m"), shop.name("b")
    wish = {"url": receiver.url("/claims"), "types": ["purchase.claimed", "points.*"]}
    shop.client.put(f"/v1/endpoints/{shop.name('claims')}", json=wish)
    shop.buy(purchase, None, 3_000, 2_550, 1_500)
    shop.give_back(f"{purchase}/r1", {"3": 1_500})

    claimed = shop.claim(purchase, member)
    shop.wait_for_points(member, 5)
    again = shop.claim(purchase, member)
    other = shop.claim(purchase, shop.name("other"))
    shop.give_back(f"{purchase}/r2", {"2": 2_550})
    shop.wait_for_points(member, 3)

    assert (claimed.status_code, claimed.json()["id"]) == (200, purchase)
    assert (again.status_code, again.text) == (200, claimed.text)
    assert problem(other, 409) == "already-claimed"
    events = list(shop.events(member=member))
    assert short(events) == [
        "purchase.claimed",
        "points.earned",
        "return.recorded",
        "points.taken-back",
    ]
    bought = shop.get(f"purchases/{purchase}")
    assert (bought["member"], len(bought["returns"])) == (member, 2)
    assert bought["claim"]["position"] == claimed.json()["positions"][0]
    check_why(shop, member)
    eventually(lambda: len(receiver.got("/claims")) >= 3)
    told = [call.event for call in receiver.got("/claims") if call.member == member]
    assert told == [events[0], events[1], events[3]]
    for event in told:
        answers.check_event(event)
    shop.client.delete(f"/v1/endpoints/{shop.name('claims')}")


def check_why(shop: Shop, member: str) -> None:
    """Both entries go back to the purchase, and say that it was claimed."""
    [earned, taken] = shop.entries(member)
    earned_why, taken_why = (shop.get(f"entries/{e['id']}/why") for e in (earned, taken))
    assert (earned["change"], taken["change"]) == (5, -2)
    assert earned_why["rule"]["arithmetic"]["amount_minor"] == 5_550  # less what had come back
    assert "was claimed at" in earned_why["sentence"]
    assert earned_why["purchase"]["claim"] == taken_why["purchase"]["claim"]
    bought_at = datetime.fromisoformat(earned_why["purchase"]["purchased_at"])
    assert datetime.fromisoformat(earned["at"]) == bought_at


def test_of_two_who_claim_at_the_same_time_exactly_one_does(shop: Shop) -> None:
    purchase = shop.name("b")
    members = [shop.name("m-0"), shop.name("m-1")]
    shop.buy(purchase, None, 4_000)

    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(lambda n: (n % 2, shop.claim(purchase, members[n % 2])), range(16)))

    winner = members.index(shop.get(f"purchases/{purchase}")["member"])
    shop.wait_for_points(members[winner], 4)
    assert {(who, answer.status_code) for who, answer in asked} == {
        (winner, 200),
        (1 - winner, 409),
    }
    assert shop.client.get(f"/v1/members/{members[1 - winner]}/balances").status_code == 404
    assert short(list(shop.events(member=members[winner]))) == ["purchase.claimed", "points.earned"]


def test_what_cannot_be_claimed_is_refused(shop: Shop) -> None:
    member, theirs, late = shop.name("m"), shop.name("b"), shop.name("late")
    shop.buy(theirs, member, 1_000)

    had_a_member = shop.claim(theirs, member)
    too_early = shop.claim(late, member)
    shop.buy(late, None, 2_000)
    in_time = shop.claim(late, member)

    assert problem(had_a_member, 409) == "not-a-strangers"
    assert problem(too_early, 409) == "unknown-purchase"
    assert in_time.status_code == 200
    shop.wait_for_points(member, 3)


def test_a_lost_card_is_blocked_from_that_instant_and_replaced(shop: Shop) -> None:
    member, lost, new = shop.name("m"), shop.name("4006381333931"), shop.name("4006381333948")
    shop.card(lost, member)
    shop.buy(shop.name("b-1"), None, 6_000, card=lost)
    shop.wait_for_points(member, 6)
    spent = shop.put(f"redemptions/{shop.name('s-1')}", spending(lost, 2))

    blocked = shop.card(lost, member, blocked=True)
    at_the_till = shop.put(f"redemptions/{shop.name('s-2')}", spending(lost, 1))
    no_sale = shop.put(f"purchases/{shop.name('b-2')}", shop.purchase(None, 1_000, card=lost))
    balance = shop.points(member)
    replaced = shop.card(new, member)
    with_the_new = shop.put(f"redemptions/{shop.name('s-3')}", spending(new, 1))
    shop.give_back(f"{shop.name('b-1')}/r1", {"1": 3_000})

    assert (spent.status_code, blocked.status_code, replaced.status_code) == (200, 200, 200)
    for refused in (at_the_till, no_sale):
        assert problem(refused, 422) == "invalid"
        [error] = refused.json()["errors"]
        assert (error["pointer"], error["code"]) == ("/card", "card-blocked")
    assert (balance, with_the_new.status_code) == (4, 200)
    shop.wait_for_points(member, 0)
    assert [entry["change"] for entry in shop.entries(member)] == [6, -2, -1, -3]
    assert shop.get(f"cards/{lost}")["blocked"]
    assert shop.get(f"cards/{new}")["member"] == member
    cards = shop.get(f"members/{member}/cards")["items"]
    assert [(each["card"], each["blocked"]) for each in cards] == [(lost, True), (new, False)]
    events = list(shop.events(member=member))
    assert [event["data"]["card"] for event in events if "card" in event["data"]] == [
        *[lost] * 4,
        *[new] * 2,
    ]


def spending(card: str, points: int) -> Json:
    return {"card": card, "unit": "points", "points": points}


def test_a_number_leads_to_one_member(shop: Shop) -> None:
    number, member = shop.name("card"), shop.name("m")

    first = shop.card(number, member)
    again = shop.card(number, member)
    taken = shop.card(number, shop.name("other"))
    unknown = shop.put(f"redemptions/{shop.name('s')}", spending(shop.name("nobodys"), 1))

    assert (first.status_code, again.text) == (200, first.text)
    assert problem(taken, 409) == "card-taken"
    assert unknown.json()["errors"][0]["code"] == "unknown-card"
    assert shop.client.get(f"/v1/cards/{shop.name('nobodys')}").status_code == 404


def test_an_import_may_name_cards(shop: Shop) -> None:
    member, number = shop.name("m"), shop.name("card")
    old = shop.purchase(None, 2_000, card=number, purchased_at=ago(days=2))
    lines: list[Json] = [
        {"type": "card", "id": number, "member": member},
        {"type": "purchase", "id": shop.name("b-1"), **old},
        {"type": "purchase", "id": shop.name("b-2"), **shop.purchase(None, 1_000)},
        {"type": "claim", "id": shop.name("b-2"), "member": member},
        {"type": "purchase", "id": shop.name("b-3"), **old, "card": shop.name("nobodys")},
    ]

    answer = shop.client.post(
        "/v1/batches",
        content="\n".join(map(json.dumps, lines)),
        headers={"Content-Type": "application/x-ndjson"},
    )

    found = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["outcome"] for line in found] == [*["recorded"] * 4, "declined"]
    assert found[-1]["code"] == "unknown-card"
    shop.wait_for_points(member, 3)


@pytest.mark.parametrize("installation", [FULL], indirect=True)
def test_a_till_on_kafka_may_name_a_card(shop: Shop) -> None:
    """It cannot ask whom the card leads to: the writer turns it into the member."""
    assert shop.installation.kafka_url is not None
    member, number, nobodys = shop.name("m"), shop.name("card"), shop.name("nobodys")
    shop.card(number, member)

    with kafka_door(shop.installation.kafka_url) as door:
        door.send([by_kafka(shop, shop.name(f"b-{card}"), card) for card in (number, nobodys)])

    shop.wait_for_points(member, 2)
    path = f"/v1/outcomes/purchase/{shop.name(f'b-{nobodys}')}"
    eventually(lambda: shop.client.get(path).json().get("code") == "unknown-card")


def by_kafka(shop: Shop, id_: str, card: str) -> tuple[bytes, bytes]:
    event = {
        "specversion": "1.0",
        "type": "stampbook.purchase",
        "source": "grocer",
        "id": id_,
        "data": shop.purchase(None, 2_000, card=card),
    }
    return card.encode(), json.dumps(event).encode()
