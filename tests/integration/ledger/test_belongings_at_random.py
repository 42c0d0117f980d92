"""Histories of claims and cards at random, against a model that knows only who has what.

Every command is delivered one to three times, in pages cut anywhere, to writers that change. What
a command is to lead to is worked out by the model from the order of first deliveries alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random

import pytest

from services.ledger.domain.events import PurchaseClaimed, ReturnRecorded
from services.ledger.rebuild import compare, switch
from services.ledger.verify import verify
from services.runtime.database import Database
from services.runtime.stream import Message
from tests.support.desk import Desk

PIECE_MINOR = 2_500  # two of them are a purchase
MEMBERS = ("m0", "m1", "m2")
PURCHASES = tuple(f"p{number}" for number in range(8))
CARDS = tuple(f"c{number}" for number in range(4))


@dataclass
class Model:
    """Who has what; a code for what was refused, None for what was recorded."""

    bought_by: dict[str, str | None] = field(default_factory=dict)
    claimed_by: dict[str, str] = field(default_factory=dict)
    returned_by: dict[str, str | None] = field(default_factory=dict)
    cards: dict[str, str] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    waiting: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    answers: dict[tuple[str, str], str | None] = field(default_factory=dict)

    def buy(self, id_: str, member: str | None, card: str | None) -> str | None:
        if card is not None:
            if card not in self.cards:
                return "unknown-card"
            if card in self.blocked:
                return "card-blocked"
            member = self.cards[card]
        self.bought_by[id_] = member
        for path in self.waiting.pop(id_, []):
            self.answers["return", path] = self.give_back(path)
        return None

    def claim(self, path: str, member: str) -> str | None:
        purchase = path.partition("/")[0]
        if purchase not in self.bought_by:
            return "unknown-purchase"
        if self.bought_by[purchase] is not None:
            return "not-a-strangers"
        if self.claimed_by.setdefault(purchase, member) != member:
            return "already-claimed"
        return None

    def give_back(self, path: str) -> str | None:
        purchase = path.partition("/")[0]
        if purchase not in self.bought_by:
            self.waiting[purchase].append(path)
            return "waits-for-purchase"
        self.returned_by[path] = self.bought_by[purchase] or self.claimed_by.get(purchase)
        return None

    def put_card(self, path: str, member: str, *, is_blocked: bool | None) -> str | None:
        number = path.partition("/")[0]
        if self.cards.setdefault(number, member) != member:
            return "card-taken"
        if number in self.blocked and is_blocked is False:
            return "card-blocked"
        if is_blocked:
            self.blocked.add(number)
        return None


Sent = tuple[str, str, Message, Callable[[Model], str | None]]


def history(desk: Desk, chance: Random) -> list[Sent]:
    """Commands, each with its name and with what the model makes of it."""
    sent: list[Sent] = []
    for purchase in PURCHASES:
        whose = [(None, None), (None, None), (chance.choice(MEMBERS), None), (None, CARDS[0])]
        member, card = chance.choice(whose)
        message = desk.purchase(purchase, member=member, card=card)
        sent.append(
            (
                "purchase",
                purchase,
                message,
                partial(Model.buy, id_=purchase, member=member, card=card),
            )
        )
        for path in (f"{purchase}/r0", f"{purchase}/r1"):
            message = desk.return_(path, amount_minor=PIECE_MINOR)
            sent.append(("return", path, message, partial(Model.give_back, path=path)))
    for number in range(40):
        path, claimer = f"{chance.choice(PURCHASES)}/a{number}", chance.choice(MEMBERS)
        message = desk.command("claim", path, {"member": claimer})
        sent.append(("claim", path, message, partial(Model.claim, path=path, member=claimer)))
    for number in range(24):
        path, holder = f"{chance.choice(CARDS)}/a{number}", chance.choice(MEMBERS)
        wish = chance.choice([None, None, False, True])
        data = {"member": holder} if wish is None else {"member": holder, "blocked": wish}
        message = desk.command("card", path, data)
        put = partial(Model.put_card, path=path, member=holder, is_blocked=wish)
        sent.append(("card", path, message, put))
    chance.shuffle(sent)
    return sent


@pytest.mark.parametrize("seed", range(12))
def test_who_has_what_is_what_a_model_says(database: Database, seed: int) -> None:
    chance, model, desk = Random(seed), Model(), Desk(database)
    sent = history(desk, chance)
    for type_, id_, _, decide in sent:
        model.answers[type_, id_] = decide(model)

    delivered: list[Message] = []
    for index, (_, _, message, _) in enumerate(sent):
        delivered += [message, *(sent[chance.randrange(index + 1)][2] for _ in range(2))]
    records = [desk.record(message) for message in delivered]
    while records:
        size = chance.randrange(1, 30)
        (desk if chance.random() < 0.7 else Desk(database)).deliver(records[:size])
        records = records[size:]

    assert {name: code_of(desk, *name) for name in model.answers} == model.answers
    with database.read() as connection:
        claims = connection.rows("SELECT member FROM claims ORDER BY member")
        cards = connection.rows("SELECT number, member, blocked_position FROM cards")
    assert [member for (member,) in claims] == sorted(model.claimed_by.values())
    assert {number: member for number, member, _ in cards} == model.cards
    assert {number for number, _, blocked in cards if blocked} == model.blocked
    returned = {
        f"{each.event.purchase}/{each.event.return_id}": each.member
        for each in desk.events()
        if isinstance(each.event, ReturnRecorded)
    }
    assert returned == model.returned_by
    assert desk.letters() == []
    assert verify(database, progress=lambda *_: None).ok


def test_who_has_what_is_rebuilt_from_the_log(database: Database) -> None:
    desk = Desk(database)
    sent = sorted(history(desk, Random(0)), key=lambda each: each[0] != "purchase")
    desk.send(*(message for _, _, message, _ in sent))
    events = [recorded.event for recorded in desk.events()]
    claimed = next(event.purchase for event in events if isinstance(event, PurchaseClaimed))
    late = desk.command("claim", f"{claimed}/late", {"member": "late"})
    with database.write() as connection:
        assert connection.execute("DELETE FROM claims")
        assert connection.execute("UPDATE cards SET member = 'thief', blocked_position = NULL")

    damaged = switch(database, "belongings", now=desk.now, progress=lambda *_: None)
    rebuilt = compare(database, "belongings", progress=lambda *_: None)
    desk.now += timedelta(minutes=1)  # the lease of the epoch that switching ended
    desk.send(late)

    assert damaged.differences > 0
    assert rebuilt.differences == 0
    assert rebuilt.rows > 0
    assert code_of(desk, "claim", f"{claimed}/late") == "already-claimed"
    assert verify(database, progress=lambda *_: None).ok


def code_of(desk: Desk, type_: str, id_: str) -> str | None:
    found = desk.outcome(type_, id_)
    assert found is not None
    return found.code
