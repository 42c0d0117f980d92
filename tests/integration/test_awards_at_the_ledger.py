"""Ledger and rewards together, without processes: awards are accepted, balances come out right."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.runtime.eventlog import EventLog
from services.runtime.stream import Message, Record, partition_of
from tests.support.databases import BOTH, fresh_url, migrated
from tests.support.desk import Desk
from tests.support.rewards_desk import GROCER, PARTITIONS, RewardsDesk


class Counter:
    """A shop's counter: what is sent here goes to the ledger, to rewards and back, to the end."""

    def __init__(self, ledger: Desk, rewards: RewardsDesk) -> None:
        self.ledger = ledger
        self.rewards = rewards
        self._read = 0
        self._asked = 0

    def send(self, *messages: Message) -> None:
        pending = list(messages)
        while pending:
            self.ledger.send(*pending)
            self.rewards.fold(self._news())
            pending = [message for _, message in self.rewards.stream.appended[self._asked :]]
            self._asked += len(pending)

    def _news(self) -> list[Record]:
        """The ledger's log since, as its relay would put it on the topic."""
        with self.ledger.database.read() as connection:
            page = EventLog(self.ledger.database).page(
                connection, after=self._read, limit=1_000_000
            )
        self._read += len(page)
        return [self._record(position, raw) for position, raw in page]

    def _record(self, position: int, raw: bytes) -> Record:
        event = json.loads(raw)
        key = event.get("subject") or event["data"]["purchase"]
        return Record(partition_of(key, PARTITIONS), position, key, raw, (), 0)


@pytest.fixture(params=BOTH)
def counter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Counter]:
    with ExitStack() as stack:
        ledger = stack.enter_context(
            migrated(f"sqlite:///{tmp_path / 'ledger.db'}", "services.ledger")
        )
        url = fresh_url(request.param, request, tmp_path)
        rewards = stack.enter_context(migrated(url, "services.rewards"))
        yield Counter(Desk(ledger), RewardsDesk(rewards))


def test_a_purchase_and_its_return_leave_nothing(counter: Counter) -> None:
    counter.rewards.adopt()

    counter.send(counter.ledger.purchase("p-1"))
    earned = counter.ledger.points()
    counter.send(counter.ledger.return_("p-1/r-1", amount_minor=5_000))

    assert (earned, counter.ledger.points()) == (5, 0)
    assert counter.ledger.letters() == []


def test_balances_are_what_was_kept(counter: Counter) -> None:
    chance = random.Random(5)
    counter.rewards.adopt(GROCER.replace('"10.00"', '"0.70"'))
    expected: dict[str, int] = {}
    purchases: list[Message] = []
    returns: list[Message] = []
    for number in range(60):
        member, kept = f"m{number % 5}", chance.randrange(1, 5_000)
        line = {"line": "1", "sku": "milk", "quantity": 9, "amount_minor": kept, "tax_minor": 90}
        purchases.append(
            counter.ledger.purchase(f"p-{number}", member=member, lines=[line], shipping_minor=700)
        )
        for part in range(chance.randrange(4)):
            back = chance.randrange(1, kept + 1) if kept else 0
            kept -= back
            returns.append(counter.ledger.return_(f"p-{number}/r-{part}", amount_minor=back))
        expected[member] = expected.get(member, 0) + kept // 70

    counter.send(*purchases, *purchases[:10])
    counter.send(*returns, *returns[:10])

    assert {member: counter.ledger.points(member) for member in expected} == expected
    assert counter.ledger.letters() == []
