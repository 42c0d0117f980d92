"""Points put right by an operator, from the door to the books, on both databases."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.ledger.domain.events import PointsGranted, PointsWithdrawn
from services.ledger.domain.parts import Actor
from services.ledger.intake import asked_by, command
from services.ledger.rebuild import VIEWS, compare_all
from services.ledger.verify import verify
from services.runtime.auth import MERCHANT_HEADER, Role
from services.runtime.clock import rfc3339
from services.runtime.database import Database
from services.runtime.stream import Message
from services.runtime.web import NDJSON
from tests.support.desk import Desk
from tests.support.doors import door_to
from tests.support.keys import bearer
from tests.support.ledger import Door, Ledger, answered, refused


@pytest.fixture
def desk(database: Database) -> Desk:
    desk = Desk(database)
    desk.send(desk.purchase(), desk.award(100))
    return desk


def body(points: int = 50, direction: str = "credit", **changes: object) -> dict[str, Any]:
    data = {
        "member": "1130",
        "unit": "points",
        "points": points,
        "direction": direction,
        "reason": "The till was down",
        **changes,
    }
    return {name: value for name, value in data.items() if value is not None}


def adjustment(
    desk: Desk, id_: str, points: int, direction: str = "credit", **changes: object
) -> Message:
    return desk.command("adjustment", id_, body(points, direction, **changes))


def outcome_of(desk: Desk, id_: str) -> tuple[str, str | None]:
    found = desk.outcome("adjustment", id_)
    assert found is not None
    return found.outcome, found.code


def books_are_right(database: Database) -> bool:
    verdict = verify(database, progress=lambda *_: None)
    assert verdict.ok, verdict
    views = compare_all(database, VIEWS, progress=lambda *_: None)
    assert [view.shown for view in views] == [[]] * len(VIEWS)
    return True


def available(desk: Desk) -> int:
    """Lots without an end too."""
    with desk.database.read() as connection:
        [(points,)] = connection.rows("SELECT sum(points_left) FROM lots", {})
    return int(points)


def test_the_log_says_what_was_granted_why_and_with_whose_key(desk: Desk) -> None:
    desk.send(adjustment(desk, "a-1", 50), desk.redemption("r-1", 120))

    [granted] = [each.event for each in desk.events() if isinstance(each.event, PointsGranted)]
    assert granted.by == Actor(key="key-1", name="anna")
    assert (granted.adjustment, granted.reason) == ("a-1", "The till was down")
    assert granted.expires_at is None
    assert available(desk) == 30
    assert books_are_right(desk.database)


def test_a_withdrawal_takes_the_soonest_ending_lots_first(desk: Desk) -> None:
    soon = rfc3339(desk.now + timedelta(days=1))
    desk.send(adjustment(desk, "a-1", 50, expires_at=soon), adjustment(desk, "a-2", 70, "debit"))

    [withdrawn] = [each.event for each in desk.events() if isinstance(each.event, PointsWithdrawn)]
    assert [part.points for part in withdrawn.lots] == [50, 20]
    assert available(desk) == 80
    assert books_are_right(desk.database)


@pytest.mark.parametrize(
    ("points", "direction", "end", "code"),
    [
        (101, "debit", None, "not-enough-points"),
        (10_001, "credit", None, "above-the-limit"),
        (10_001, "debit", None, "above-the-limit"),
        (1, "credit", "2026-05-01T12:00:00Z", "expiry-in-the-past"),
    ],
)
def test_what_is_declined_moves_nothing(
    desk: Desk, points: int, direction: str, end: str | None, code: str
) -> None:
    desk.send(adjustment(desk, "a-1", points, direction, expires_at=end))

    assert outcome_of(desk, "a-1") == ("declined", code)
    assert desk.types()[-1] == "points.earned"
    assert books_are_right(desk.database)


def test_the_limit_is_a_setting(database: Database) -> None:
    desk = Desk(database, adjustment_limit=10)

    desk.send(adjustment(desk, "a-1", 10), adjustment(desk, "a-2", 11))

    assert outcome_of(desk, "a-1") == ("recorded", None)
    assert outcome_of(desk, "a-2") == ("declined", "above-the-limit")


def test_granted_points_repay_what_is_owed(desk: Desk) -> None:
    desk.send(desk.redemption("r-1", 100), desk.take_back(30), adjustment(desk, "a-1", 50))

    assert desk.types()[-2:] == ["points.granted", "points.repaid"]
    assert available(desk) == 20
    assert books_are_right(desk.database)


def test_the_clock_ends_what_was_granted(desk: Desk) -> None:
    desk.send(adjustment(desk, "a-1", 50, expires_at=rfc3339(desk.now + timedelta(days=1))))
    desk.now += timedelta(days=2)

    desk.tick()

    assert desk.types()[-1] == "points.expired"
    assert available(desk) == 100
    assert books_are_right(desk.database)


def test_the_same_again_with_another_key_is_the_same_adjustment(desk: Desk) -> None:
    again = asked_by(command("grocer", "adjustment", "a-1", body(), rules=desk.rules), "key-2")

    desk.send(adjustment(desk, "a-1", 50), again.message("1130"))

    assert desk.types().count("points.granted") == 1
    assert desk.letters() == []


def test_a_command_that_does_not_say_with_whose_key_is_parked(desk: Desk) -> None:
    message = adjustment(desk, "a-1", 50)
    nobodys = json.loads(message.value)
    del nobodys["actor"]

    desk.send(replace(message, value=json.dumps(nobodys).encode()))

    assert [code for code, _ in desk.letters()] == ["actor-missing"]
    assert desk.types()[-1] == "points.earned"


def operators_door(ledger: Ledger) -> Door:
    """With a key of her own, which has a name."""
    secret, _ = ledger.keys.create(role=Role.OPERATOR, merchant=None, name="anna")
    headers = bearer(secret, **{MERCHANT_HEADER: "grocer"})
    return Door(door_to(ledger.app, **headers))


async def adjust(door: Door, id_: str, sent: dict[str, Any]) -> httpx.Response:
    return await door.put(f"/adjustments/{id_}", sent, wait_s=10)


async def test_an_operator_adjusts_and_every_answer_shows_it(ledger: Ledger) -> None:
    operator = operators_door(ledger)
    end = rfc3339(ledger.clock() + timedelta(days=9))

    first = await adjust(operator, "a-1", body(50, expires_at=end))
    again = await adjust(operator, "a-1", body(50, expires_at=end))
    await adjust(operator, "a-2", body(20, "debit"))
    await ledger.door().redeem("s-1", 5)

    assert answered(first, "outcome") == again.json()
    page = answered(await operator.http.get("/v1/members/1130/entries"), "answers/entries")
    granted, withdrawn, redeemed = page["items"]
    assert [each["change"] for each in page["items"]] == [50, -20, -5]
    assert (granted["adjustment"], withdrawn["adjustment"]) == ("a-1", "a-2")
    [lot] = answered(await operator.http.get("/v1/members/1130/lots"), "answers/lots")["items"]
    assert (lot["available"], lot["adjustment"], lot["expires_at"]) == (25, "a-1", end)
    assert not lot.keys() & {"purchase", "programme", "version", "rule"}
    for entry, id_ in ((granted, "a-1"), (withdrawn, "a-2")):
        found = answered(await operator.http.get(f"/v1/entries/{entry['id']}/why"), "answers/why")
        assert found["adjustment"]["id"] == id_
        assert found["adjustment"]["reason"] == "The till was down"
        assert found["adjustment"]["by"]["name"] == "anna"
        assert "The reason: The till was down." in found["sentence"]
        assert found["lots"][0]["lot"] == lot["lot"]
    found = answered(await operator.http.get(f"/v1/entries/{granted['id']}/why"), "answers/why")
    assert [(each["redemption"], each["points"]) for each in found["paid_for"]] == [("s-1", 5)]
    found = answered(await operator.http.get(f"/v1/entries/{redeemed['id']}/why"), "answers/why")
    assert found["lots"][0]["adjustment"]["id"] == "a-1"
    assert books_are_right(ledger.database)


async def test_what_follows_from_a_granted_lot_says_where_it_came_from(ledger: Ledger) -> None:
    operator = operators_door(ledger)
    ledger.award(100)
    await operator.until_known()
    await ledger.door().redeem("s-1", 100)
    ledger.take_back(30)
    await adjust(operator, "a-1", body(50))
    repaid = (await operator.get("/members/1130/entries"))["items"][-1]

    found = answered(await operator.http.get(f"/v1/entries/{repaid['id']}/why"), "answers/why")

    assert (repaid["type"], repaid["points"]) == ("points.repaid", 30)
    assert found["adjustment"]["id"] == "a-1"


async def test_balances_and_lots_of_before_know_nothing_of_it(ledger: Ledger) -> None:
    operator = operators_door(ledger)
    ledger.award(100)
    await operator.until_known()
    before = rfc3339(ledger.clock())
    await adjust(operator, "a-1", body(50))

    assert await operator.balance(known_at=before) == 100
    assert await operator.balance() == 150
    assert len((await operator.get("/members/1130/lots", known_at=before))["items"]) == 1
    month = f"{ledger.clock():%Y-%m}"
    shown = await operator.get(f"/members/1130/statements/{month}")
    assert shown["units"][0]["entries"][-1]["adjustment"] == "a-1"


@pytest.mark.parametrize("role", [Role.TILL, Role.MERCHANT, Role.AUDITOR])
async def test_nobody_else_adjusts(ledger: Ledger, role: Role) -> None:
    refused(await adjust(ledger.door_of(role), "a-1", body()), 403, "role-not-allowed")


@pytest.mark.parametrize(
    ("role", "code"), [(Role.MERCHANT, "role-not-allowed"), (Role.OPERATOR, None)]
)
async def test_in_batches_too(ledger: Ledger, role: Role, code: str | None) -> None:
    raw = json.dumps({"type": "adjustment", "id": "a-1", **body()}).encode()

    door = operators_door(ledger) if role is Role.OPERATOR else ledger.door_of(role)

    response = await door.http.post(
        "/v1/batches", content=raw, headers={"Content-Type": NDJSON, "Prefer": "wait=10"}
    )

    line = json.loads(response.content)
    assert line.get("code") == code
    assert line.get("outcome") == (None if code else "recorded")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"reason": None}, "/reason"),
        ({"reason": " "}, "/reason"),
        ({"direction": "sideways"}, "/direction"),
        ({"direction": "debit", "expires_at": "2099-01-01T00:00:00Z"}, "/expires_at"),
    ],
)
async def test_bad_fields_are_named(
    ledger: Ledger, changes: dict[str, object], pointer: str
) -> None:
    sent = {name: value for name, value in {**body(), **changes}.items() if value is not None}

    problem = refused(await adjust(operators_door(ledger), "a-1", sent), 422, "invalid")

    assert [error["pointer"] for error in problem["errors"]] == [pointer]


async def test_a_refusal_says_how_much_is_there(ledger: Ledger) -> None:
    operator = operators_door(ledger)
    await adjust(operator, "a-1", body(50))

    problem = refused(await adjust(operator, "a-2", body(51, "debit")), 409, "not-enough-points")

    assert problem["detail"] == "asked for 51 points, 50 available"
