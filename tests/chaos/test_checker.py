"""The checker is content with a true story, and finds every lie in a false one."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.chaos.checker import PROMISES, Facts, broken_promises
from tests.chaos.commands import Client, Command
from tests.chaos.journal import RECORDED, Attempt, Journal, Line

Json = dict[str, Any]
BOUGHT_AT = "2026-05-01T10:00:00+00:00"
ENDS_AT = "2027-05-01T06:00:00-04:00"
LINES = [
    {"line": "1", "sku": "a", "quantity": 1, "amount_minor": 3_000},
    {"line": "2", "sku": "b", "quantity": 1, "amount_minor": 2_500},
]
PURCHASE = {"member": "m", "purchased_at": BOUGHT_AT, "currency": "USD", "lines": LINES}
RETURNED = {
    "returned_at": BOUGHT_AT,
    "lines": [{"line": "2", "quantity": 1, "amount_minor": 2_500}],
}
SPENT = {"member": "m", "unit": "points", "points": 3}
COMMANDS = [
    Command(type="purchase", id="b", member="m", content=PURCHASE),
    Command(type="redemption", id="s", member="m", content=SPENT),
    Command(type="reversal", id="s", member="m", content={"points": 1}),
    Command(type="return", id="b/r", member="m", content=RETURNED),
]


def event(position: int, name: str, **data: Any) -> Json:
    return {
        "id": f"event-{position}",
        "type": f"stampbook.{name}.v1",
        "subject": "m",
        "time": BOUGHT_AT,
        "recordedat": BOUGHT_AT,
        "position": position,
        "merchant": "grocer",
        "data": data,
    }


def part(points: int) -> list[Json]:
    return [{"lot": "l", "points": points}]


def story() -> list[Json]:
    """Five points earned, three spent, one of them given back, two taken back: one is left."""
    earned = {"lot": "l", "purchase": "b", "points": 5, "unit": "points", "expires_at": ENDS_AT}
    taken = {"purchase": "b", "return": "r", "unit": "points", "points": 2, "owed": 0}
    return [
        event(1, "purchase.recorded", purchase="b", **PURCHASE),
        event(2, "points.earned", **earned),
        event(3, "points.redeemed", redemption="s", unit="points", points=3, lots=part(3)),
        event(4, "points.restored", redemption="s", unit="points", points=1, lots=part(1)),
        event(
            5, "return.recorded", purchase="b", amount_minor=2_500, **RETURNED, **{"return": "r"}
        ),
        event(6, "points.taken-back", lots=part(2), **taken),
    ]


def journal() -> Journal:
    """One after another, each acknowledged before the next was sent."""
    kept = Journal()
    for second, command in enumerate(COMMANDS):
        attempt = Attempt(second, second + 0.5, RECORDED)
        kept.lines["grocer", command.type, command.id] = Line(command, [attempt])
    kept.garbage = [(3, 17, b"rubbish")]
    kept.garbage_sent = {b"rubbish"}
    return kept


def facts() -> Facts:
    events = story()
    balance = {"unit": "points", "available": 1, "expiring": [{"points": 1, "expires_at": ENDS_AT}]}
    return Facts(
        journal=journal(),
        missing={},
        events=events,
        outcomes={f"{each.type} {each.id}": {"outcome": RECORDED} for each in COMMANDS},
        balances={"m": {"points": balance}},
        balances_at=datetime(2026, 6, 1, tzinfo=UTC),
        webhooks=[(each["id"], each) for each in events],
        bad_signatures=0,
        letters=[(3, 17, b"rubbish")],
        topic=[(0, each) for each in events],
        verdict={"ok": True},
    )


def without(position: int) -> Callable[[Facts], Facts]:
    return lambda f: replace(f, events=[e for e in f.events if e["position"] != position])


def with_data(position: int, **data: Any) -> Callable[[Facts], Facts]:
    def lie(told: Facts) -> Facts:
        events = deepcopy(list(told.events))
        events[position - 1]["data"].update(data)
        return replace(told, events=events)

    return lie


def twice(position: int) -> Callable[[Facts], Facts]:
    return lambda f: replace(f, events=[*f.events, {**f.events[position - 1], "position": 7}])


def with_balance(points: int) -> Callable[[Facts], Facts]:
    balance = {"unit": "points", "available": points, "expiring": []}
    return lambda f: replace(f, balances={"m": {"points": balance}})


def answered(type_: str, answer: str) -> Callable[[Facts], Facts]:
    def lie(told: Facts) -> Facts:
        [line] = told.journal.of_type(type_)
        line.attempts.append(Attempt(9, 9.5, answer))
        return told

    return lie


def sent_the_other_way_round(told: Facts) -> Facts:
    for line in told.journal.lines.values():
        line.attempts = [Attempt(-a.sent_at_s, -a.sent_at_s + 0.5, a.answer) for a in line.attempts]
    return told


def surprised(told: Facts) -> Facts:
    told.journal.surprises.append("500")
    return told


LIES: list[tuple[str, Callable[[Facts], Facts]]] = [
    ("everything comes to rest", lambda f: replace(f, missing={"webhooks": 1})),
    ("nobody got a strange answer", surprised),
    ("positions are gap free", without(4)),
    ("positions are gap free", twice(6)),
    ("nothing acknowledged is lost", without(1)),
    ("nothing acknowledged is lost", without(3)),
    ("nothing acknowledged is lost", lambda f: replace(f, outcomes={})),
    ("nothing acknowledged is lost", answered("redemption", "declined")),
    ("nothing is recorded twice or made up", twice(1)),
    ("nothing is recorded twice or made up", twice(3)),
    ("nothing is recorded twice or made up", with_data(3, points=2)),
    ("nothing is recorded twice or made up", with_data(3, redemption="other")),
    ("each purchase earns what it should once", without(2)),
    ("each purchase earns what it should once", with_data(2, points=6)),
    ("each purchase earns what it should once", with_data(2, expires_at=BOUGHT_AT)),
    ("each return takes back what it should once", without(6)),
    ("each return takes back what it should once", twice(6)),
    ("balances are what the commands come to", with_balance(2)),
    ("balances are what the commands come to", without(3)),
    ("lots are what the log comes to", with_balance(0)),
    ("lots are what the log comes to", twice(2)),
    ("lots are what the log comes to", with_data(3, lots=part(2))),
    ("lots are what the log comes to", with_data(4, lots=part(4))),
    ("what came first is recorded first", sent_the_other_way_round),
    ("the topic is the log", lambda f: replace(f, topic=(f.topic or [])[1:])),
    ("the topic is the log", lambda f: replace(f, topic=list(reversed(f.topic or [])))),
    ("the topic is the log", lambda f: replace(f, topic=list(enumerate(story())))),
    ("webhooks bring everything in order", lambda f: replace(f, webhooks=f.webhooks[1:])),
    ("webhooks bring everything in order", lambda f: replace(f, webhooks=f.webhooks[::-1])),
    ("webhooks bring everything in order", lambda f: replace(f, bad_signatures=1)),
    ("rubbish is set aside once", lambda f: replace(f, letters=[])),
    ("rubbish is set aside once", lambda f: replace(f, letters=[(3, 17, b"rubbisH")])),
    ("rubbish is set aside once", lambda f: replace(f, letters=[*f.letters, (3, 18, b"good")])),
    ("verify agrees", lambda f: replace(f, verdict={"ok": False})),
]


def test_a_true_story_breaks_no_promise() -> None:
    broken = broken_promises(facts())

    assert len(broken) == len(PROMISES)
    assert {promise: faults for promise, faults in broken.items() if faults} == {}


@pytest.mark.parametrize(("promise", "lie"), LIES)
def test_a_lie_is_found(promise: str, lie: Callable[[Facts], Facts]) -> None:
    assert broken_promises(lie(facts()))[promise]


def test_every_promise_has_a_lie_that_breaks_it() -> None:
    assert {promise for promise, _ in LIES} == set(broken_promises(facts()))


def test_the_same_seed_asks_for_the_same() -> None:
    def shape(seed: str) -> list[tuple[str, str, str]]:
        bags = Client("c0", seed).bags()
        return [(c.type, c.id, c.member) for _ in range(50) for c in next(bags)]

    assert shape("1") == shape("1")
    assert shape("1") != shape("2")
