"""A stranger's purchase becomes a member's: at the writer and at the doors."""

from __future__ import annotations

import asyncio
from contextlib import closing

import msgspec
import pytest

from services.ledger.domain.events import PurchaseClaimed, ReturnRecorded
from services.ledger.domain.purchase import Part
from services.ledger.verify import verify
from services.runtime.auth import Role
from services.runtime.database import Database
from services.runtime.stream import Message
from tests.support.asyncs import soon
from tests.support.desk import Desk
from tests.support.ledger import Ledger, a_purchase, a_return, answered, refused


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def claim(desk: Desk, member: str = "1130", *, of: str = "p-1", ask: str = "a") -> Message:
    return desk.command("claim", f"{of}/{ask}", {"member": member})


def outcome(desk: Desk, id_: str) -> tuple[str, str | None, list[int]]:
    found = desk.outcome("claim", id_)
    assert found is not None
    return found.outcome, found.code, found.positions


def test_a_claim_stands_in_the_members_story_and_says_it_all(desk: Desk) -> None:
    desk.send(desk.purchase(member=None), desk.return_(amount_minor=1_000), claim(desk))

    [_, _, claimed] = desk.events()
    assert claimed.member == "1130"
    assert isinstance(claimed.event, PurchaseClaimed)
    assert claimed.event.returned == {"1": Part(1, 1_000)}
    assert msgspec.json.decode(claimed.event.content)["lines"][0]["amount_minor"] == 5_000
    assert outcome(desk, "p-1/a") == ("recorded", None, [3])


def test_what_comes_back_later_belongs_to_the_member(desk: Desk) -> None:
    desk.send(desk.purchase(member=None), desk.return_("p-1/early"), claim(desk))
    desk.send(desk.return_("p-1/late"), desk.return_("p-1/too-much"))

    returns = [r.member for r in desk.events() if isinstance(r.event, ReturnRecorded)]
    too_much = desk.outcome("return", "p-1/too-much")
    assert returns == [None, "1130"]
    assert too_much is not None
    assert too_much.code == "return-too-large"
    assert verify(desk.database, progress=lambda *_: None).ok


def test_a_purchase_is_claimed_once_and_the_same_member_again_is_the_same_answer(
    desk: Desk,
) -> None:
    desk.send(desk.purchase(member=None), claim(desk), claim(desk, "27", ask="b"))
    desk.send(claim(desk, ask="c"), claim(desk, "27", ask="d"), claim(desk))

    assert desk.types() == ["purchase.recorded", "purchase.claimed"]
    assert outcome(desk, "p-1/a") == outcome(desk, "p-1/c") == ("recorded", None, [2])
    assert outcome(desk, "p-1/b") == outcome(desk, "p-1/d") == ("declined", "already-claimed", [])
    assert verify(desk.database, progress=lambda *_: None).ok


def test_a_members_own_purchase_is_nobodys_to_claim(desk: Desk) -> None:
    desk.send(desk.purchase(), claim(desk), claim(desk, "27", ask="b"))

    assert outcome(desk, "p-1/a") == outcome(desk, "p-1/b") == ("declined", "not-a-strangers", [])


def test_a_claim_that_came_too_early_may_be_asked_again(desk: Desk) -> None:
    desk.send(claim(desk), desk.purchase(member=None), claim(desk, ask="b"))

    assert outcome(desk, "p-1/a") == ("declined", "unknown-purchase", [])
    assert outcome(desk, "p-1/b") == ("recorded", None, [2])


def test_another_merchants_purchase_is_not_known(desk: Desk) -> None:
    desk.send(desk.purchase(member=None))
    desk.send(desk.command("claim", "p-1/a", {"member": "1130"}, source="baker"))

    found = desk.outcome("claim", "p-1/a", source="baker")
    assert found is not None
    assert found.code == "unknown-purchase"


def test_other_content_under_the_same_asking_is_parked(desk: Desk) -> None:
    desk.send(desk.purchase(member=None), claim(desk), claim(desk, "27"))

    assert [code for code, _ in desk.letters()] == ["id-reused"]


def test_delivered_again_after_a_crash_it_is_claimed_once(desk: Desk) -> None:
    page = [desk.record(desk.purchase(member=None)), desk.record(claim(desk))]

    desk.deliver(page, page)
    Desk(desk.database).deliver(page)

    assert desk.types() == ["purchase.recorded", "purchase.claimed"]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE claims SET member = '27'",
        "DELETE FROM claims",
        "INSERT INTO claims SELECT command, '27', 1 FROM outcomes WHERE event_count = 0",
    ],
)
def test_a_claim_that_is_kept_otherwise_than_recorded_is_found(desk: Desk, damage: str) -> None:
    desk.send(desk.purchase(member=None), claim(desk), claim(desk, ask="b"))
    with desk.database.write() as connection:
        connection.execute(damage)

    verdict = verify(desk.database, progress=lambda *_: None)

    assert (verdict.ok, verdict.fault) == (False, "belongings")


async def test_claims_at_the_door(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy("p-1", member=None)

    first = await door.put("/purchases/p-1/claim", {"member": "1130"}, wait_s=10)
    again = await door.put("/purchases/p-1/claim", {"member": "1130"}, wait_s=10)
    other = await door.put("/purchases/p-1/claim", {"member": "27"}, wait_s=10)

    expected = {"type": "claim", "id": "p-1", "outcome": "recorded", "positions": [2]}
    assert answered(first, "outcome") == answered(again, "outcome") == expected
    assert await door.get("/outcomes/claim/p-1") == expected
    refused(await door.http.get("/v1/outcomes/claim/p-2"), 404, "unknown-outcome")
    assert refused(other, 409, "already-claimed")["title"]


async def test_a_claim_is_waited_for_unless_the_caller_says_otherwise(idle_ledger: Ledger) -> None:
    door = idle_ledger.door()

    answer = await door.put("/purchases/p-1/claim", {"member": "1130"}, wait_s=0)

    line = answered(answer, "outcome", 202)
    place = answer.headers["location"].removeprefix("/v1")
    assert (line["id"], line["outcome"]) == ("p-1", "accepted")
    assert await door.get(place) == line


async def test_of_two_who_claim_at_the_same_time_one_does(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy("p-1", member=None)

    answers = await asyncio.gather(
        *(
            door.put("/purchases/p-1/claim", {"member": f"m-{number % 2}"}, wait_s=10)
            for number in range(8)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [409] * 4
    shown = await door.get("/purchases/p-1")
    assert shown["member"] in ("m-0", "m-1")


async def test_a_purchase_shows_its_claim_and_its_returns(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy("p-1", member=None)
    await door.put("/purchases/p-1/returns/r-1", a_return(), wait_s=10)
    before = await door.get("/purchases/p-1")

    await door.put("/purchases/p-1/claim", {"member": "1130"}, wait_s=10)
    await door.put("/purchases/p-1/returns/r-2", a_return(), wait_s=10)

    shown = answered(await door.http.get("/v1/purchases/p-1"), "answers/purchase")
    assert ("member" in before, "claim" in before) == (False, False)
    assert (shown["member"], shown["claim"]["position"]) == ("1130", 3)
    assert [each["id"] for each in shown["returns"]] == ["r-1", "r-2"]
    events = await door.get("/events", member="1130")
    assert [event["type"] for event in events["items"]] == [
        "stampbook.purchase.claimed.v1",
        "stampbook.return.recorded.v1",
    ]


async def test_a_claim_lies_behind_its_purchase(idle_ledger: Ledger) -> None:
    """Its order is that of the sale, so that who was promised one thing cannot meet another."""
    door = idle_ledger.door()
    await door.put("/purchases/p-1", a_purchase(member=None), wait_s=0)
    await door.put("/purchases/p-1/claim", {"member": "1130"}, wait_s=0)
    await door.put("/purchases/p-1/returns/r-1", a_return(), wait_s=0)

    with closing(idle_ledger.stream.reader("intake")) as reader:
        reader.seek(dict.fromkeys(range(3), 0))
        found = reader.poll(max_records=10, timeout_s=5)

    assert [record.key for record in found] == ["p-1"] * 3


@pytest.mark.parametrize("role", [Role.TILL, Role.MERCHANT])
async def test_a_merchant_claims_at_home_only(ledger: Ledger, role: Role) -> None:
    await ledger.door("baker").buy("p-1", member=None)
    door = ledger.door_of(role, "grocer")

    answer = await door.put("/purchases/p-1/claim", {"member": "1130"}, wait_s=10)

    refused(answer, 409, "unknown-purchase")


async def test_claims_in_a_batch(ledger: Ledger) -> None:
    door = ledger.door()
    lines = [
        {"type": "purchase", "id": "p-1", **a_purchase(member=None)},
        {"type": "claim", "id": "p-1", "member": "1130"},
        {"type": "claim", "id": "p-1/again", "member": "1130"},
        {"type": "claim", "id": "p-1", "member": "27"},
    ]
    response = await door.http.post(
        "/v1/batches",
        content=b"\n".join(msgspec.json.encode(line) for line in lines),
        headers={"Content-Type": "application/x-ndjson"},
    )

    found = [msgspec.json.decode(line) for line in response.content.splitlines()]
    assert [line["outcome"] for line in found] == ["recorded"] * 3 + ["declined"]
    assert [line["positions"] for line in found] == [[1], [2], [2], []]
    assert {line["id"] for line in found} == {"p-1"}


async def test_points_of_a_claimed_purchase_say_so(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy("p-1", member=None)
    await door.put("/purchases/p-1/claim", {"member": "1130"}, wait_s=10)
    ledger.award(50)
    path = "/v1/members/1130/entries"
    statement = await soon(lambda: door.http.get(path), lambda answer: answer.json()["items"])

    [entry] = statement.json()["items"]
    why = answered(await door.http.get(f"/v1/entries/{entry['id']}/why"), "answers/why")

    assert "It was a stranger's, and was claimed at" in why["sentence"]
    assert why["purchase"]["claim"]["position"] == 2
