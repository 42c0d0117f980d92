"""The doors that change something: safe answers, waits, repeats, and ids used twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from services.runtime.auth import Role
from tests.support.asyncs import soon
from tests.support.ledger import Ledger, a_purchase, a_return, answered, award_id, refused


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """One kind is enough for a door: what stands behind it is tested on both."""
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def accepted(response: httpx.Response, type_: str, id_: str) -> None:
    found = answered(response, "outcome", 202)
    assert found == {"type": type_, "id": id_, "outcome": "accepted", "positions": []}
    assert response.headers["location"] == f"/v1/outcomes/{type_}/{id_}"


async def test_a_purchase_is_safe_at_once_and_its_outcome_is_where_the_answer_says(
    ledger: Ledger,
) -> None:
    door = ledger.door()

    response = await door.put("/purchases/p-1", a_purchase())

    accepted(response, "purchase", "p-1")
    place = response.headers["location"].removeprefix("/v1")
    assert (await door.get(place))["outcome"] in {"accepted", "recorded"}
    await soon(lambda: door.get(place), lambda found: found["outcome"] == "recorded")


async def test_whoever_waits_gets_the_decision(ledger: Ledger) -> None:
    response = await ledger.door().buy()

    found = answered(response, "outcome")
    assert found == {"type": "purchase", "id": "p-1", "outcome": "recorded", "positions": [1]}
    assert response.headers["preference-applied"] == "wait=10"


async def test_sent_again_it_is_the_same_answer_and_nothing_happens(ledger: Ledger) -> None:
    door = ledger.door()
    sent = a_purchase()
    reordered = dict(reversed(sent.items())) | {"lines": [dict(line) for line in sent["lines"]]}

    first = await door.put("/purchases/p-1", sent, wait_s=10)
    second = await door.put("/purchases/p-1", reordered, wait_s=10)
    after_a_restart = await ledger.door(app=ledger.fresh_app()).put(
        "/purchases/p-1", sent, wait_s=10
    )

    assert first.json() == second.json() == after_a_restart.json()
    assert len((await door.get("/events"))["items"]) == 1


async def test_whoever_does_not_wait_is_told_the_same_each_time(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy()

    accepted(await door.put("/purchases/p-1", a_purchase()), "purchase", "p-1")


async def test_numbers_that_are_equal_are_the_same_content(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy(shipping_minor=500)
    raw = httpx.Request("PUT", "http://x", json=a_purchase(shipping_minor=500)).content

    response = await door.http.put(
        "/v1/purchases/p-1",
        content=raw.replace(b'_minor":500}', b'_minor": 500.0}'),
        headers={"Content-Type": "application/json", "Prefer": "wait=10"},
    )

    assert answered(response, "outcome")["positions"] == [1]


async def test_an_id_is_not_used_for_anything_else(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy()

    at_once = await door.put("/purchases/p-1", a_purchase(shop="364"))
    after_a_restart = await ledger.door(app=ledger.fresh_app()).buy("p-1", shop="364")

    refused(at_once, 409, "id-reused")
    refused(after_a_restart, 409, "id-reused")
    assert "shop" not in await door.get("/purchases/p-1")


async def test_an_id_is_held_from_the_moment_it_was_accepted(idle_ledger: Ledger) -> None:
    door = idle_ledger.door()

    both = await asyncio.gather(
        door.put("/purchases/p-1", a_purchase()),
        door.put("/purchases/p-1", a_purchase(shop="364")),
    )

    assert sorted(response.status_code for response in both) == [202, 409]


async def test_ids_belong_to_a_merchant_and_a_kind(ledger: Ledger) -> None:
    mine, theirs = ledger.door("grocer"), ledger.door("baker")
    await mine.buy("1", shop="364")

    assert (await theirs.buy("1", shop="365")).status_code == 200
    refused(await mine.redeem("1", 1), 409, "not-enough-points")
    assert (await theirs.get("/purchases/1"))["shop"] == "365"


async def test_what_is_undecided_when_the_wait_ends_is_accepted(idle_ledger: Ledger) -> None:
    door = idle_ledger.door()

    accepted(await door.put("/purchases/p-1", a_purchase(), wait_s=0), "purchase", "p-1")
    accepted(await door.put("/purchases/p-2", a_purchase(), wait_s=1), "purchase", "p-2")
    assert (await door.get("/outcomes/purchase/p-2"))["outcome"] == "accepted"


async def test_a_redemption_waits_without_being_asked(ledger: Ledger) -> None:
    door = ledger.door()
    ledger.award(100)
    await door.until_known()
    body = {"member": "1130", "unit": "points", "points": 30}

    response = await door.put("/redemptions/s-1", body)

    assert answered(response, "outcome")["outcome"] == "recorded"
    assert await door.balance() == 70


async def test_a_redemption_need_not_wait(idle_ledger: Ledger) -> None:
    body = {"member": "1130", "unit": "points", "points": 30}

    response = await idle_ledger.door().put("/redemptions/s-1", body, Prefer="respond-async")

    accepted(response, "redemption", "s-1")


async def test_a_refusal_is_a_problem_with_its_title_and_stays(ledger: Ledger) -> None:
    door = ledger.door()

    first = refused(await door.redeem("s-1", 30), 409, "not-enough-points")
    ledger.award(100)
    await door.until_known()
    second = refused(await door.redeem("s-1", 30), 409, "not-enough-points")

    assert first["title"] == "The member's unexpired lots do not cover the price."
    assert first == second
    found = answered(await door.http.get("/v1/outcomes/redemption/s-1"), "outcome")
    assert found["outcome"] == "declined"
    assert found["code"] == "not-enough-points"


async def test_a_reversal_gives_back_once_and_needs_no_body(ledger: Ledger) -> None:
    door = ledger.door()
    ledger.award(100)
    await door.until_known()
    await door.redeem("s-1", 30)

    first = await door.put("/redemptions/s-1/reversal")
    second = await door.put("/redemptions/s-1/reversal", {})
    other = await door.put("/redemptions/s-1/reversal", {"points": 10})

    assert answered(first, "outcome") == answered(second, "outcome")
    refused(other, 409, "id-reused")
    assert await door.balance() == 100


async def test_a_reversal_sent_right_behind_its_redemption_is_decided_after_it(
    idle_ledger: Ledger,
) -> None:
    door = idle_ledger.door()
    body = {"member": "1130", "unit": "points", "points": 30}
    idle_ledger.award(100)
    await door.put("/redemptions/s-1", body, Prefer="respond-async")
    await door.put("/redemptions/s-1/reversal", Prefer="respond-async")

    with idle_ledger.deciding():
        response = await door.put("/redemptions/s-1/reversal", wait_s=10)

    assert answered(response, "outcome")["outcome"] == "recorded"


async def test_a_return_is_recorded_and_stands_beside_its_purchase(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy()

    response = await door.put("/purchases/p-1/returns/r-1", a_return(), wait_s=10)

    assert answered(response, "outcome") == {
        "type": "return",
        "id": "p-1/r-1",
        "outcome": "recorded",
        "positions": [2],
    }
    assert (await door.get("/outcomes/return/p-1/r-1"))["positions"] == [2]
    purchase = answered(await door.http.get("/v1/purchases/p-1"), "answers/purchase")
    assert [each["id"] for each in purchase["returns"]] == ["r-1"]
    assert purchase["returns"][0]["lines"] == a_return()["lines"]


async def test_a_return_waits_for_its_purchase(ledger: Ledger) -> None:
    door = ledger.door()

    early = await door.put("/purchases/p-1/returns/r-1", a_return(), wait_s=10)
    waiting = await door.http.get("/v1/dead-letters", params={"waiting": True})
    await door.buy()
    late = await door.put("/purchases/p-1/returns/r-1", a_return(), wait_s=10)

    assert answered(early, "outcome", 202)["code"] == "waits-for-purchase"
    [found] = answered(waiting, "answers/waiting-returns")["items"]
    assert (found["id"], found["merchant"]) == ("p-1/r-1", "grocer")
    assert answered(late, "outcome")["outcome"] == "recorded"
    assert (await door.get("/dead-letters", waiting="true"))["items"] == []


@pytest.mark.parametrize(
    ("returned", "code"),
    [
        (a_return(quantity=3), "return-too-large"),
        (a_return(amount_minor=5_001), "return-too-large"),
        (a_return(line="9"), "unknown-line"),
        ({**a_return(), "shipping_minor": 1}, "return-too-large"),
        ({**a_return(), "returned_at": "2016-12-31T23:59:59-05:00"}, "return-before-purchase"),
    ],
)
async def test_a_return_of_what_was_not_bought_is_declined(
    ledger: Ledger, returned: dict[str, object], code: str
) -> None:
    door = ledger.door()
    await door.buy()

    response = await door.put("/purchases/p-1/returns/r-1", returned, wait_s=10)

    refused(response, 409, code)
    assert (await door.get("/purchases/p-1"))["returns"] == []


async def test_a_merchant_does_not_touch_what_another_one_sold(ledger: Ledger) -> None:
    await ledger.door("grocer").buy()
    baker = ledger.door_of(Role.MERCHANT, "baker")

    refused(await baker.http.get("/v1/purchases/p-1"), 404, "unknown-purchase")
    refused(await baker.http.get("/v1/outcomes/purchase/p-1"), 404, "unknown-outcome")
    response = await baker.put("/purchases/p-1/returns/r-1", a_return(), wait_s=10)
    assert answered(response, "outcome", 202)["code"] == "waits-for-purchase"


async def test_a_merchants_key_spends_at_this_merchants_only(ledger: Ledger) -> None:
    body = {"member": "1130", "unit": "points", "points": 30}
    till = ledger.door_of(Role.TILL)

    elsewhere = await till.put("/redemptions/s-1", {**body, "merchant": "baker"})
    at_home = await till.put("/redemptions/s-1", {**body, "merchant": "grocer"})

    [error] = refused(elsewhere, 422, "invalid")["errors"]
    assert (error["pointer"], error["code"]) == ("/merchant", "not-allowed")
    refused(at_home, 409, "not-enough-points")


async def test_the_operator_names_the_merchant_and_the_auditor_changes_nothing(
    ledger: Ledger,
) -> None:
    auditor = ledger.door_of(Role.AUDITOR, None)

    nameless = await ledger.door(None).put("/purchases/p-1", a_purchase())
    audited = await auditor.put("/purchases/p-1", a_purchase())

    [error] = refused(nameless, 422, "invalid-parameter")["errors"]
    assert (error["parameter"], error["code"]) == ("Stampbook-Merchant", "merchant-required")
    refused(audited, 403, "role-not-allowed")


async def test_what_stampbook_commands_itself_is_the_operators_to_see(ledger: Ledger) -> None:
    path = f"/v1/outcomes/award/{award_id(ledger.award(100))}"
    await ledger.door().until_known()

    seen = await ledger.door(None).http.get(path)
    hidden = await ledger.door_of(Role.TILL).http.get(path)

    assert answered(seen, "outcome")["positions"] == [1]
    refused(hidden, 404, "unknown-outcome")


async def test_of_64_who_redeem_the_same_100_points_exactly_10_succeed(ledger: Ledger) -> None:
    door = ledger.door()
    ledger.award(100)
    await door.until_known()

    answers = await asyncio.gather(*(door.redeem(f"s-{number}", 10) for number in range(64)))

    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [409] * 54
    codes = {answer.json()["code"] for answer in answers if answer.status_code == 409}
    assert codes == {"not-enough-points"}
    assert await door.balance() == 0
