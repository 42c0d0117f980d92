"""Cards at the writer and at the doors: a number stands for its member, until it is blocked."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any

import msgspec
import pytest

from services.ledger.domain.events import PointsRedeemed
from services.ledger.verify import verify
from services.runtime.auth import Role
from services.runtime.database import Database
from services.runtime.stream import Message
from tests.support.desk import Desk
from tests.support.ledger import Ledger, a_purchase, answered, refused

NUMBER = "4006381333931"


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def card(
    desk: Desk, member: str = "1130", *, number: str = NUMBER, ask: str = "a", **changes: object
) -> Message:
    return desk.command("card", f"{number}/{ask}", {"member": member, **changes})


def spend(desk: Desk, id_: str, points: int, *, number: str = NUMBER) -> Message:
    data = {"card": number, "unit": "points", "points": points}
    return desk.command("redemption", id_, data)


def outcome(desk: Desk, type_: str, id_: str) -> tuple[str, str | None, list[int]]:
    found = desk.outcome(type_, id_)
    assert found is not None
    return found.outcome, found.code, found.positions


def test_a_purchase_with_a_card_is_the_members_and_keeps_the_card(desk: Desk) -> None:
    desk.send(card(desk), desk.purchase(member=None, card=NUMBER))

    [_, bought] = desk.events()
    with desk.database.read() as connection:
        [(stream, raw)] = connection.rows("SELECT stream, event FROM events WHERE position = 2")
    data = msgspec.json.decode(bytes(raw))["data"]
    assert (bought.member, stream) == ("1130", "member/1130")
    assert (data["card"], "member" in data) == (NUMBER, False)


def test_points_are_spent_with_a_card(desk: Desk) -> None:
    desk.send(card(desk), desk.purchase(), desk.award(100), spend(desk, "s-1", 70))

    spent = desk.events()[-1]
    assert isinstance(spent.event, PointsRedeemed)
    assert (spent.member, spent.event.card) == ("1130", NUMBER)
    assert desk.points() == 30


def test_nobody_buys_or_spends_with_an_unknown_card(desk: Desk) -> None:
    desk.send(desk.purchase(member=None, card=NUMBER), spend(desk, "s-1", 1))

    assert outcome(desk, "purchase", "p-1") == ("declined", "unknown-card", [])
    assert outcome(desk, "redemption", "s-1") == ("declined", "unknown-card", [])
    assert desk.events() == []


def test_a_lost_card_is_blocked_from_that_instant_and_replaced(desk: Desk) -> None:
    desk.send(card(desk), desk.purchase(member=None, card=NUMBER), desk.award(100))
    desk.send(
        spend(desk, "before", 10),
        card(desk, blocked=True, ask="lost"),
        spend(desk, "after", 10),
        desk.purchase("p-2", member=None, card=NUMBER),
        card(desk, number="new", ask="b"),
        spend(desk, "with-the-new", 20, number="new"),
    )

    assert outcome(desk, "redemption", "before")[0] == "recorded"
    assert outcome(desk, "redemption", "after") == ("declined", "card-blocked", [])
    assert outcome(desk, "purchase", "p-2") == ("declined", "card-blocked", [])
    assert outcome(desk, "redemption", "with-the-new")[0] == "recorded"
    assert desk.points() == 70
    assert desk.types()[-3:] == ["card.blocked", "card.issued", "points.redeemed"]
    assert verify(desk.database, progress=lambda *_: None).ok


def test_what_was_recorded_before_the_card_was_blocked_is_the_same_answer_after(
    desk: Desk,
) -> None:
    bought = desk.purchase(member=None, card=NUMBER)
    desk.send(card(desk), bought, card(desk, blocked=True, ask="lost"))
    desk.send(bought)

    assert outcome(desk, "purchase", "p-1") == ("recorded", None, [2])
    assert desk.letters() == []


def test_a_return_of_what_was_bought_with_a_blocked_card_is_the_members(desk: Desk) -> None:
    desk.send(card(desk), desk.purchase(member=None, card=NUMBER))
    desk.send(card(desk, blocked=True, ask="lost"), desk.return_())

    assert desk.events()[-1].member == "1130"


def test_a_number_leads_to_one_member_for_good(desk: Desk) -> None:
    desk.send(card(desk), card(desk, "27", ask="b"), card(desk, ask="c"))
    desk.send(card(desk, blocked=True, ask="d"), card(desk, "27", ask="e"))
    desk.send(card(desk, ask="f"), card(desk, blocked=True, ask="g"))
    desk.send(card(desk, blocked=False, ask="h"))

    found = {ask: outcome(desk, "card", f"{NUMBER}/{ask}") for ask in "abcdefgh"}
    assert desk.types() == ["card.issued", "card.blocked"]
    assert found["a"] == found["c"] == found["f"] == ("recorded", None, [1])
    assert found["b"] == found["e"] == ("declined", "card-taken", [])
    assert found["d"] == found["g"] == ("recorded", None, [2])
    assert found["h"] == ("declined", "card-blocked", [])


def test_a_lost_card_that_nobody_had_told_us_of_is_blocked(desk: Desk) -> None:
    desk.send(card(desk, blocked=True), desk.purchase(member=None, card=NUMBER))

    assert desk.types() == ["card.blocked"]
    assert outcome(desk, "purchase", "p-1")[1] == "card-blocked"
    assert verify(desk.database, progress=lambda *_: None).ok


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE cards SET member = '27'",
        "UPDATE cards SET blocked_position = NULL",
        "DELETE FROM cards",
        "INSERT INTO cards VALUES ('7', '27', 1, NULL)",
    ],
)
def test_a_card_that_is_kept_otherwise_than_recorded_is_found(desk: Desk, damage: str) -> None:
    desk.send(card(desk), card(desk, blocked=True, ask="b"))
    with desk.database.write() as connection:
        connection.execute(damage)

    verdict = verify(desk.database, progress=lambda *_: None)

    assert (verdict.ok, verdict.fault) == (False, "belongings")


async def put(ledger: Ledger, member: str = "1130", **changes: Any) -> None:
    body = {"member": member, **changes}
    answered(await ledger.door().put(f"/cards/{NUMBER}", body, wait_s=10), "outcome")


async def test_a_card_at_the_door(ledger: Ledger) -> None:
    door = ledger.door()

    first = await door.put(f"/cards/{NUMBER}", {"member": "1130"}, wait_s=10)
    again = await door.put(f"/cards/{NUMBER}", {"member": "1130"}, wait_s=10)
    other = await door.put(f"/cards/{NUMBER}", {"member": "27"}, wait_s=10)
    shown = answered(await door.http.get(f"/v1/cards/{NUMBER}"), "answers/card")
    blocked = await door.put(f"/cards/{NUMBER}", {"member": "1130", "blocked": True}, wait_s=10)
    after = answered(await door.http.get(f"/v1/cards/{NUMBER}"), "answers/card")

    expected = {"type": "card", "id": NUMBER, "outcome": "recorded", "positions": [1]}
    assert answered(first, "outcome") == answered(again, "outcome") == expected
    assert refused(other, 409, "card-taken")["title"]
    assert (shown["member"], shown["blocked"], shown["blocked_at"]) == ("1130", False, None)
    assert answered(blocked, "outcome")["positions"] == [2]
    assert (after["member"], after["blocked"]) == ("1130", True)
    assert after["blocked_at"] >= after["known_at"] == shown["known_at"]


async def test_a_members_cards_by_number_page_by_page(ledger: Ledger) -> None:
    door = ledger.door()
    for number in ("7c", "7a", "7b"):
        await door.put(f"/cards/{number}", {"member": "1130"}, wait_s=10)
    await door.put("/cards/7b", {"member": "1130", "blocked": True}, wait_s=10)
    await door.put("/cards/8", {"member": "27"}, wait_s=10)

    path = "/v1/members/1130/cards"
    first = answered(await door.http.get(path, params={"limit": 2}), "answers/cards")
    rest = answered(await door.http.get(path, params={"after": first["next"]}), "answers/cards")
    nobodys = answered(await door.http.get("/v1/members/9/cards"), "answers/cards")

    cards = [*first["items"], *rest["items"]]
    assert [(each["card"], each["blocked"]) for each in cards] == [
        ("7a", False),
        ("7b", True),
        ("7c", False),
    ]
    assert (len(first["items"]), rest["next"]) == (2, None)
    assert nobodys == {"items": [], "next": None}


async def test_the_outcome_of_a_card_is_what_it_is_now(ledger: Ledger) -> None:
    door = ledger.door()
    await put(ledger)
    issued = await door.get(f"/outcomes/card/{NUMBER}")
    await put(ledger, blocked=True)
    blocked = await door.get(f"/outcomes/card/{NUMBER}")

    assert (issued["positions"], blocked["positions"]) == ([1], [2])
    refused(await door.http.get("/v1/outcomes/card/7"), 404, "unknown-outcome")


async def test_an_unknown_number_is_404(ledger: Ledger) -> None:
    refused(await ledger.door().http.get("/v1/cards/7"), 404, "unknown-card")


async def test_the_door_refuses_a_card_that_leads_nowhere(ledger: Ledger) -> None:
    door = ledger.door()
    bought = a_purchase(member=None, card=NUMBER)
    spent = {"card": NUMBER, "unit": "points", "points": 1}

    unknown = await door.put("/purchases/p-1", bought, wait_s=10)
    await put(ledger)
    good = await door.put("/purchases/p-1", bought, wait_s=10)
    await put(ledger, blocked=True)
    blocked = await door.put("/redemptions/s-1", spent)
    repeated = await door.put("/purchases/p-1", bought, wait_s=10)
    repeated_elsewhere = await ledger.door(app=ledger.fresh_app()).put(
        "/purchases/p-1", bought, wait_s=10
    )

    assert pointed(refused(unknown, 422, "invalid")) == [("/card", "unknown-card")]
    assert pointed(refused(blocked, 422, "invalid")) == [("/card", "card-blocked")]
    assert good.json() == repeated.json() == repeated_elsewhere.json()
    shown = await door.get("/purchases/p-1")
    assert (shown["member"], shown["card"]) == ("1130", NUMBER)


def pointed(problem: Any) -> list[tuple[str, str]]:
    return [(error["pointer"], error["code"]) for error in problem["errors"]]


async def test_what_the_door_could_not_know_the_writer_declines(ledger: Ledger) -> None:
    """A batch is not asked to wait for a look at every card."""
    door = ledger.door()
    lines = [
        {"type": "purchase", "id": "p-1", **a_purchase(member=None, card=NUMBER)},
        {"type": "card", "id": "new", "member": "1130"},
        {"type": "purchase", "id": "p-2", **a_purchase(member=None, card="new")},
        {"type": "card", "id": "new", "member": "1130", "blocked": True},
        {"type": "purchase", "id": "p-3", **a_purchase(member=None, card="new")},
    ]

    found = await batch(ledger, lines)

    assert [line.get("code") for line in found] == [
        "unknown-card",
        None,
        None,
        None,
        "card-blocked",
    ]
    assert (await door.get("/purchases/p-2"))["member"] == "1130"


async def batch(ledger: Ledger, lines: list[dict[str, Any]], role: Role | None = None) -> Any:
    door = ledger.door() if role is None else ledger.door_of(role)
    response = await door.http.post(
        "/v1/batches",
        content=b"\n".join(msgspec.json.encode(line) for line in lines),
        headers={"Content-Type": "application/x-ndjson"},
    )
    return [msgspec.json.decode(line) for line in response.content.splitlines()]


async def test_tills_issue_no_cards(ledger: Ledger) -> None:
    till = ledger.door_of(Role.TILL)

    single = await till.put(f"/cards/{NUMBER}", {"member": "1130"}, wait_s=10)
    [line] = await batch(ledger, [{"type": "card", "id": NUMBER, "member": "1130"}], Role.TILL)
    await put(ledger)
    shown = await till.get(f"/cards/{NUMBER}")

    refused(single, 403, "role-not-allowed")
    assert (line["code"], line["command"], line["id"]) == ("role-not-allowed", "card", NUMBER)
    assert shown["member"] == "1130"


async def test_of_two_who_are_given_the_same_number_one_has_it(ledger: Ledger) -> None:
    door = ledger.door()

    answers = await asyncio.gather(
        *(
            door.put(f"/cards/{NUMBER}", {"member": f"m-{number % 2}"}, wait_s=10)
            for number in range(8)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [409] * 4


async def test_what_names_a_card_lies_where_its_member_lies(idle_ledger: Ledger) -> None:
    """Also when the card itself is only on its way."""
    door = idle_ledger.door()
    await door.put(f"/cards/{NUMBER}", {"member": "1130"}, wait_s=0)
    await door.put("/purchases/p-1", a_purchase(member=None, card=NUMBER), wait_s=0)
    await door.put("/redemptions/s-1", {"card": NUMBER, "unit": "points", "points": 1}, wait_s=0)
    await door.put(f"/cards/{NUMBER}", {"member": "1130", "blocked": True}, wait_s=0)

    with closing(idle_ledger.stream.reader("intake")) as reader:
        reader.seek(dict.fromkeys(range(3), 0))
        found = reader.poll(max_records=10, timeout_s=5)

    assert [record.key for record in found] == ["1130"] * 4


def test_a_card_of_unknown_holder_is_an_order_of_its_own(desk: Desk) -> None:
    assert desk.purchase(member=None, card=NUMBER).key == NUMBER
    assert spend(desk, "s-1", 1).key == NUMBER
