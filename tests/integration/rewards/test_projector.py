"""From recorded purchases and returns to awards and take-backs, whatever happens on the way."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest

from services.rewards.consumer import fold
from services.rewards.store import Rulebook
from services.runtime.clock import rfc3339
from services.runtime.database import Connection
from services.runtime.projection import Envelope, Event
from services.runtime.stream import Message, Record, StreamUnavailable
from tests.support.rewards_desk import GROCER, PARTITIONS, RewardsDesk, ids, points_by_purchase
from tests.support.scripted import ScriptedStream

TWO_UNITS = GROCER.replace("rules:", "  stars: {}\nrules:") + (
    '  stars:\n    on: purchase\n    earn: {unit: stars, points: 5, per: "0.50"}\n'
)
TERMS = {"expires_at", "credit_at", "rank", "shortfall", "grace_s"}


def test_a_purchase_earns_what_the_programme_says(desk: RewardsDesk) -> None:
    desk.adopt()

    desk.fold([desk.purchase("b1", 4_000, 237)])

    [award] = desk.asked()
    assert award == {
        "specversion": "1.0",
        "type": "stampbook.award",
        "source": "/rewards",
        "id": award["data"]["lot"],
        "data": {
            "merchant": "grocer",
            "member": "1130",
            "purchase": "b1",
            "lot": award["id"],
            "unit": "points",
            "points": 4,
            "earned_at": "2017-01-01T12:30:27-05:00",
            "expires_at": "2018-01-01T12:30:27-05:00",
            "programme": "grocer",
            "version": 1,
            "rule": "base",
            "arithmetic": {
                "amount_minor": 4_237,
                "currency": "USD",
                "per_minor": 1_000,
                "points_each": 1,
            },
        },
    }
    assert [message.key for _, message in desk.stream.appended] == ["1130"]
    assert desk.kept() == {"grocer/b1": ("1130", "USD", 4_237, {"grocer": 1})}


def test_each_rule_makes_a_lot_of_its_own(desk: RewardsDesk) -> None:
    desk.adopt(TWO_UNITS)

    desk.fold([desk.purchase("b1", 4_237)])

    found = [
        (a["data"]["unit"], a["data"]["points"], a["data"]["expires_at"]) for a in desk.asked()
    ]
    assert found == [("points", 4, "2018-01-01T12:30:27-05:00"), ("stars", 420, None)]


def test_an_award_carries_the_terms_that_its_unit_names(desk: RewardsDesk) -> None:
    terms = "credited_after: P14D, spent_rank: 1, when_spent: write-off, grace: P14D"
    desk.adopt(
        GROCER.replace("expires_after: P12M", "expires: {end_of: year, after: P1Y}, " + terms)
    )

    desk.fold([desk.purchase("b1", 4_237)])

    [award] = desk.asked()
    said = {name: award["data"].get(name) for name in TERMS}
    assert said == {
        "expires_at": "2019-01-01T00:00:00-05:00",
        "credit_at": "2017-01-15T12:30:27-05:00",
        "rank": 1,
        "shortfall": "write-off",
        "grace_s": 1_209_600,
    }


def test_terms_that_are_the_standard_are_not_written(desk: RewardsDesk) -> None:
    desk.adopt(GROCER.replace("P12M", "P12M, spent_rank: 0, when_spent: owe"))

    desk.fold([desk.purchase("b1", 4_237)])

    [award] = desk.asked()
    assert TERMS & award["data"].keys() == {"expires_at"}


def test_every_programme_that_holds_answers_a_purchase(desk: RewardsDesk) -> None:
    desk.adopt()
    desk.adopt(GROCER.replace("grocer", "coalition"))
    desk.adopt(GROCER.replace("grocer", "bakers") + "merchants: [baker]\n")
    desk.adopt(GROCER.replace("grocer", "euros").replace("USD", "EUR"))

    desk.fold([desk.purchase("b1"), desk.purchase("b2", merchant="baker")])

    found = [(a["data"]["purchase"], a["data"]["programme"]) for a in desk.asked()]
    assert found == [
        ("b1", "coalition"),
        ("b1", "grocer"),
        ("b2", "bakers"),
        ("b2", "coalition"),
        ("b2", "grocer"),
    ]


def test_strangers_earn_nothing_and_give_nothing_back(desk: RewardsDesk) -> None:
    desk.adopt()

    desk.fold([desk.purchase("b1", member=None), desk.return_(4_000, member=None)])

    assert desk.asked() == []
    assert desk.kept() == {}


def test_without_a_programme_nothing_is_earned(desk: RewardsDesk) -> None:
    desk.fold([desk.purchase("b1"), desk.return_(4_000)])

    assert desk.asked() == []


def test_what_was_recorded_before_the_programme_began_earns_nothing(desk: RewardsDesk) -> None:
    before = desk.purchase("b1")
    desk.now += timedelta(hours=1)
    desk.adopt()
    after = desk.purchase("b2")

    desk.fold([before, after])

    assert [a["data"]["purchase"] for a in desk.asked()] == ["b2"]


def test_returns_take_back_the_difference_of_two_roundings(desk: RewardsDesk) -> None:
    desk.adopt()

    desk.fold(
        [desk.purchase("b1", 4_237), desk.return_(237, id_="r1")],
        [desk.return_(1, id_="r2"), desk.return_(999, id_="r3"), desk.return_(3_000, id_="r4")],
    )

    [_, *take_backs] = desk.asked()
    assert [(t["data"]["return"], t["data"]["points"]) for t in take_backs] == [
        ("r2", 1),
        ("r4", 3),
    ]
    assert take_backs[0]["data"]["arithmetic"] == {
        "currency": "USD",
        "per_minor": 1_000,
        "points_each": 1,
        "kept_before_minor": 4_000,
        "kept_after_minor": 3_999,
        "points_before": 4,
        "points_after": 3,
    }
    assert set(points_by_purchase(desk.asked()).values()) == {0}


def test_a_return_goes_by_the_version_of_the_purchases_day(desk: RewardsDesk) -> None:
    desk.adopt()
    desk.fold([desk.purchase("b1", 4_237)])
    desk.now += timedelta(days=1)
    desk.adopt(GROCER.replace("points: 1,", "points: 100,"))

    desk.fold([desk.return_(4_237), desk.purchase("b2", purchased_at="2026-05-02T12:00:00Z")])

    [_, take_back, award] = desk.asked()
    assert (take_back["data"]["version"], take_back["data"]["points"]) == (1, 4)
    assert (award["data"]["version"], award["data"]["points"]) == (2, 400)


def test_a_return_still_counts_after_the_programme_was_retired(desk: RewardsDesk) -> None:
    desk.adopt()
    desk.fold([desk.purchase("b1")])
    desk.programmes.retire("grocer", 1)

    desk.fold([desk.return_(4_237), desk.purchase("b2", purchased_at="2026-05-01T12:00:00Z")])

    assert [command["type"] for command in desk.asked()] == [
        "stampbook.award",
        "stampbook.take-back",
    ]


def test_a_claimed_purchase_earns_what_it_would_have_earned_on_its_day(desk: RewardsDesk) -> None:
    desk.adopt()
    that_day = rfc3339(desk.now)
    sold = desk.purchase("b1", member=None, purchased_at=that_day)
    desk.now += timedelta(days=1)
    desk.adopt(GROCER.replace("points: 1,", "points: 100,"))

    claimed_event = desk.claimed("b1", purchased_at=that_day, recorded_at=that_day)
    desk.fold([sold, claimed_event, desk.purchase("b2", purchased_at=that_day)])

    [claimed, bought] = desk.asked()
    assert (claimed["data"]["version"], claimed["data"]["points"]) == (1, 4)
    assert claimed["data"]["earned_at"] == that_day
    assert claimed["data"] == {
        **bought["data"],
        "purchase": "b1",
        "lot": claimed["data"]["lot"],
    }


def test_what_came_back_before_the_claim_earns_nothing_and_later_takes_back_the_rest(
    desk: RewardsDesk,
) -> None:
    desk.adopt()

    desk.fold(
        [
            desk.purchase("b1", 4_237, member=None),
            desk.return_(1_300, member=None),
            desk.claimed("b1", 4_237, returned_minor=1_300),
            desk.return_(1_900, id_="r2"),
            desk.return_(1_037, id_="r3"),
        ]
    )

    [award, *take_backs] = desk.asked()
    assert (award["data"]["points"], award["data"]["arithmetic"]["amount_minor"]) == (2, 2_937)
    assert [taken["data"]["points"] for taken in take_backs] == [1, 1]
    assert set(points_by_purchase(desk.asked()).values()) == {0}


def test_a_claim_brings_no_programme_that_began_after_the_purchase_was_recorded(
    desk: RewardsDesk,
) -> None:
    before = desk.now - timedelta(hours=1)
    desk.adopt()

    desk.fold([desk.claimed("b1", recorded_at=rfc3339(before))])

    assert desk.asked() == []


def test_the_ledgers_word_on_the_version_is_final(desk: RewardsDesk) -> None:
    desk.adopt()
    desk.fold([desk.purchase("b1", 4_237)])
    desk.now += timedelta(days=1)
    desk.adopt(GROCER.replace("points: 1,", "points: 2,"))
    [award] = desk.asked()

    desk.fold([desk.earned(award, version=2), desk.return_(4_237)])

    assert desk.asked()[1]["data"]["version"] == 2
    assert desk.asked()[1]["data"]["points"] == 8


def test_a_confirmation_that_says_the_same_writes_nothing(desk: RewardsDesk) -> None:
    desk.adopt()
    desk.fold([desk.purchase("b1", 4_237)])
    [award] = desk.asked()
    before = desk.kept()

    desk.fold([desk.earned(award)])

    assert desk.kept() == before
    assert len(desk.asked()) == 1


def test_hands_the_trace_on(desk: RewardsDesk) -> None:
    desk.adopt()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    record = desk.purchase("b1")
    traced = record.value.replace(b'"data"', f'"traceparent": "{trace}", "data"'.encode(), 1)

    desk.fold([Record(record.partition, record.offset, record.key, traced, (), 0)])

    [(_, message)] = desk.stream.appended
    assert message.headers == (("traceparent", trace.encode()),)


def test_rubbish_is_parked_and_what_follows_goes_on(desk: RewardsDesk) -> None:
    desk.adopt()
    good = desk.purchase("b1")
    lost = desk.return_(1, of="b0", id_="r9")
    more = desk.purchase("b2")
    odd = desk.purchase("b3")
    odd_value = odd.value.replace(b'"amount_minor": 4237', b'"amount_minor": "much"')
    bad = Record(odd.partition, 77, "1130", odd_value, (), 0)
    torn = Record(odd.partition, 78, "1130", b'{"specversion": ', (), 0)
    last = desk.purchase("b4")

    desk.fold([good, lost, more, bad, torn], [msgspec.structs.replace(last, offset=79)])

    assert [command["data"]["purchase"] for command in desk.asked()][-1] == "b4"
    assert set(desk.kept()) == {"grocer/b1", "grocer/b2", "grocer/b4"}
    with desk.database.read() as connection:
        letters = connection.rows("SELECT record_offset FROM dead_letters ORDER BY record_offset")
    assert [offset for (offset,) in letters] == [lost.offset, 77, 78]


def test_pages_cut_anywhere_and_delivered_again_ask_for_the_same(desk: RewardsDesk) -> None:
    chance = random.Random(11)
    desk.adopt(TWO_UNITS)
    story, expected = _story(desk, chance)

    for page in _redelivered(story, chance):
        desk.fold(page)

    found = points_by_purchase(desk.asked())
    assert {name: points for name, points in found.items() if points} == expected
    assert len(desk.asked()) == len({command["id"] for command in desk.asked()})


def _story(
    desk: RewardsDesk, chance: random.Random
) -> tuple[list[Record], dict[tuple[str, str], int]]:
    """Purchases and returns of some members, and what each purchase is worth in the end."""
    story: list[Record] = []
    expected: dict[tuple[str, str], int] = {}
    for number in range(120):
        id_, member, kept = f"b{number}", f"m{number % 7}", chance.randrange(0, 9_000)
        story.append(desk.purchase(id_, kept, member=member))
        for part in range(chance.randrange(4)):
            back = chance.randrange(0, kept + 1)
            kept -= back
            story.append(desk.return_(back, of=id_, id_=f"r{part}", member=member))
        expected[id_, "points"] = kept // 1_000
        expected[id_, "stars"] = 5 * (kept // 50)
    return story, {name: points for name, points in expected.items() if points}


def _redelivered(story: Sequence[Record], chance: random.Random) -> list[list[Record]]:
    """What a relay and a broker may do: begin again further back, and cut pages anywhere.

    Each record comes one to five times; its first time is in order.
    """
    times = dict.fromkeys(range(len(story)), 1)
    order: list[int] = []
    next_new = 0
    while next_new < len(story):
        run = range(next_new, min(next_new + chance.randrange(1, 25), len(story)))
        order += run
        next_new = run.stop
        back = max(0, next_new - chance.randrange(1, 60))
        again = [n for n in range(back, next_new) if times[n] < 5]
        for n in again:
            times[n] += 1
        order += again
    records = [
        Record(story[n].partition, offset, story[n].key, story[n].value, (), 0)
        for offset, n in enumerate(order)
    ]
    pages: list[list[Record]] = []
    while records:
        size = chance.randrange(1, 40)
        pages.append(records[:size])
        records = records[size:]
    return pages


class TearingStream(ScriptedStream):
    """Everything is sent, and then the process dies before its transaction commits."""

    def __init__(self) -> None:
        super().__init__(partitions=PARTITIONS)
        self.deaths_left = 1

    def producer(self) -> Any:
        return _TearingProducer(self, super().producer())


class _TearingProducer:
    def __init__(self, stream: TearingStream, producer: Any) -> None:
        self._stream = stream
        self._producer = producer

    def append(self, topic: str, messages: Sequence[Message], *, timeout_s: float = 30) -> None:
        self._producer.append(topic, messages, timeout_s=timeout_s)
        if self._stream.deaths_left:
            self._stream.deaths_left -= 1
            raise StreamUnavailable("died here")

    def close(self) -> None:
        self._producer.close()


def test_a_crash_between_sending_and_committing_asks_for_the_same_again(desk: RewardsDesk) -> None:
    torn = RewardsDesk(desk.database, stream=TearingStream())
    torn.adopt(TWO_UNITS)
    page = [torn.purchase("b1"), torn.purchase("b2"), torn.return_(4_237)]

    with pytest.raises(StreamUnavailable):
        torn.fold(page)
    assert torn.kept() == {}
    torn.fold(page)

    sent = [message for _, message in torn.stream.appended]
    assert sent[: len(sent) // 2] == sent[len(sent) // 2 :]
    assert len(set(ids(sent))) == 6
    assert torn.kept()["grocer/b1"][2] == 0


def test_a_new_version_between_a_crash_and_its_repetition_is_settled_by_the_ledger(
    desk: RewardsDesk,
) -> None:
    torn = RewardsDesk(desk.database, stream=TearingStream())
    torn.adopt()
    tomorrows = torn.purchase("b1", purchased_at="2026-05-02T12:00:00Z")  # a till that is ahead
    with pytest.raises(StreamUnavailable):
        torn.fold([tomorrows])
    torn.now += timedelta(minutes=1)
    torn.adopt(GROCER.replace("points: 1,", "points: 2,"))

    torn.fold([tomorrows])
    [first, second] = torn.asked()
    torn.fold([torn.earned(first), torn.return_(4_237)])

    assert (first["id"], first["data"]["version"]) == (second["id"], 1)
    assert second["data"]["version"] == 2
    assert torn.asked()[-1]["data"]["points"] == first["data"]["points"]


def test_another_instance_goes_on_where_the_first_one_stopped(desk: RewardsDesk) -> None:
    desk.adopt()
    first = desk.purchase("b1")
    desk.fold([first])
    other = RewardsDesk(desk.database, stream=desk.stream, name="rewards-2")

    other.fold([first, desk.purchase("b2")])

    assert [command["data"]["purchase"] for command in desk.asked()] == ["b1", "b2"]


def test_a_page_takes_as_many_statements_as_one_event(desk: RewardsDesk) -> None:
    desk.adopt()
    rulebook = Rulebook()
    with desk.database.write() as connection:
        fold(connection, [_event(desk.purchase("b0"))], rulebook)
    page = [desk.purchase(f"b{number}") for number in range(1, 700)]
    page += [desk.return_(1_000, of=f"b{number}") for number in range(300)]

    with desk.database.write() as connection:
        counting = _Counting(connection)
        commands = fold(cast(Connection, counting), [_event(record) for record in page], rulebook)

    assert len(commands) == 699 + 300
    assert counting.statements == ["rows", "pick", "upsert"]


def _event(record: Record) -> Event:
    return Event(msgspec.json.decode(record.value, type=Envelope), record)


class _Counting:
    """A connection that notes which of its statements were used."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.statements: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.statements.append(name)
        return getattr(self._connection, name)
