"""The writer, whatever is delivered to it, and however often."""

from __future__ import annotations

import random

import pytest

from services.ledger import application
from services.ledger.books import Books
from services.ledger.intake import Command, Rules, read
from services.ledger.verify import verify
from services.runtime.database import Database, DatabaseUnavailable
from services.runtime.eventlog import Head
from services.runtime.ownership import Fenced
from services.runtime.stream import Record
from tests.support.desk import Desk


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def is_sound(desk: Desk) -> bool:
    return verify(desk.database, progress=lambda *_: None).ok


def test_a_story_of_points(desk: Desk) -> None:
    desk.send(desk.purchase(), desk.award(100), desk.redemption("s-1", 70))
    desk.send(desk.reversal("s-1", 20), desk.return_(), desk.take_back(25))

    assert desk.types() == [
        "purchase.recorded",
        "points.earned",
        "points.redeemed",
        "points.restored",
        "return.recorded",
        "points.taken-back",
    ]
    assert desk.points() == 100 - 70 + 20 - 25
    assert is_sound(desk)


def test_every_command_delivered_one_to_five_times_counts_once(desk: Desk) -> None:
    chance = random.Random(7)
    sent = [desk.purchase(f"p-{n}") for n in range(20)]
    sent += [desk.award(10, purchase=f"p-{n}") for n in range(20)]
    sent += [desk.redemption(f"s-{n}", 3) for n in range(10)]
    repeated = sent + [m for m in sent for _ in range(chance.randrange(5))]
    tail = repeated[len(sent) :]
    chance.shuffle(tail)

    records = [desk.record(message) for message in (*sent, *tail)]
    desk.deliver(*(records[start : start + 7] for start in range(0, len(records), 7)))

    assert desk.points() == 20 * 10 - 10 * 3
    assert len(desk.events()) == len(sent)
    assert is_sound(desk)


def test_a_page_delivered_again_after_it_was_committed_changes_nothing(desk: Desk) -> None:
    page = [desk.record(desk.purchase()), desk.record(desk.award(100))]

    desk.deliver(page, page)
    Desk(desk.database).deliver(page)

    assert desk.points() == 100
    assert len(desk.events()) == 2


def test_other_content_under_the_same_id_is_parked_and_the_first_stands(desk: Desk) -> None:
    desk.send(desk.purchase(), desk.purchase(shop="364"))
    desk.send(desk.purchase(shop="365"))

    assert [code for code, _ in desk.letters()] == ["id-reused", "id-reused"]
    assert desk.types() == ["purchase.recorded"]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "not-json"),
        (b"\xff\xfe", "not-json"),
        (b"[" * 100_000, "not-json"),
        (b"[]", "invalid"),
        (b'{"specversion":"1.0"}', "invalid"),
        (
            b'{"specversion":"1.0","type":"stampbook.wish","source":"a","id":"b","data":{}}',
            "invalid",
        ),
        (
            b'{"specversion":"1.0","type":"stampbook.award","source":"a","id":"b","data":{}}',
            "invalid",
        ),
        (
            b'{"specversion":"1.0","type":"stampbook.purchase","source":"a","id":"b",'
            b'"data":{"member":"\\u0000"}}',
            "invalid",
        ),
    ],
)
def test_rubbish_is_parked_with_its_bytes_and_stops_nobody(
    desk: Desk, raw: bytes, code: str
) -> None:
    rubbish = Record(0, 1_000, "k\0", raw, (("x", b"\0"),), 0)

    desk.deliver([desk.record(desk.purchase()), rubbish], [])
    desk.deliver([Record(0, 1_001, "k", desk.award(5).value, (), 0)])

    assert desk.letters() == [(code, raw)]
    assert desk.points() == 5


def test_our_own_mistake_with_one_command_parks_only_that(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(books: Books, command: Command) -> None:
        if command.id == "p-2":
            raise ZeroDivisionError
        real(books, command)

    real = application.decide
    monkeypatch.setattr(application, "decide", stumble)
    desk.send(desk.purchase("p-1"), desk.purchase("p-2"), desk.purchase("p-3"))

    assert [code for code, _ in desk.letters()] == ["internal-error"]
    assert desk.types() == ["purchase.recorded"] * 2
    assert is_sound(desk)


def test_a_crash_before_the_commit_leaves_nothing_and_loses_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = [desk.record(desk.purchase()), desk.record(desk.award(100))]

    def crash(books: Books) -> None:
        real(books)
        raise KeyboardInterrupt

    real = Books.write
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Books, "write", crash)
        desk.deliver(page)
    after_the_crash = desk.events()
    Desk(desk.database).deliver(page)

    assert after_the_crash == []
    assert desk.points() == 100


def pages_of_purchases(desk: Desk, *, pages: int) -> list[list[Record]]:
    """Long enough that the writer reads the next one while it decides one."""
    return [
        [desk.record(desk.purchase(f"p-{page}-{n}")) for n in range(120)] for page in range(pages)
    ]


def test_pages_read_ahead_are_decided_in_their_order(desk: Desk) -> None:
    pages = pages_of_purchases(desk, pages=4)

    desk.deliver(*pages)

    assert [recorded.event.purchase for recorded in desk.events()] == [  # type: ignore[union-attr]
        f"p-{page}-{n}" for page in range(4) for n in range(120)
    ]
    assert is_sound(desk)


def test_a_failed_commit_loses_nothing_of_the_page_that_was_read_ahead(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = pages_of_purchases(desk, pages=3)

    def fail_at_the_second(books: Books) -> Head:
        if books.head.position:
            raise DatabaseUnavailable("gone")
        return real(books)

    real = Books.write
    with monkeypatch.context() as patch, pytest.raises(DatabaseUnavailable):
        patch.setattr(Books, "write", fail_at_the_second)
        desk.deliver(*pages)
    recorded_before = len(desk.events())
    desk.deliver(*pages[1:])

    assert recorded_before == 120
    assert len(desk.events()) == 360
    assert is_sound(desk)


def test_our_own_mistake_in_reading_a_record_parks_only_that(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(record: Record, *, rules: Rules) -> Command:
        if record.offset == 1:
            raise ZeroDivisionError
        return read(record, rules=rules)

    monkeypatch.setattr("services.ledger.consumer.read", stumble)
    desk.send(desk.purchase("p-1"), desk.purchase("p-2"), desk.purchase("p-3"))

    assert [code for code, _ in desk.letters()] == ["internal-error"]
    assert desk.types() == ["purchase.recorded"] * 2


def test_a_writer_that_stalled_cannot_write_what_it_still_has(database: Database) -> None:
    stalled, other = Desk(database, name="writer-1"), Desk(database, name="writer-2")
    stalled.deliver([])
    term = stalled.footing.ownership.acquire("ledger.writer")
    other.now = stalled.now.replace(hour=13)
    page = [other.record(other.purchase()), other.record(other.award(100))]
    other.deliver(page)

    assert term is not None
    with pytest.raises(Fenced):
        writer = stalled.writer  # the stall is in the middle
        writer._decide_batch(term, writer._read(page))  # noqa: SLF001
    assert len(other.events()) == 2
    assert is_sound(other)


def test_a_return_waits_for_its_purchase(desk: Desk) -> None:
    desk.send(desk.return_())
    waiting = desk.outcome("return", "p-1/r-1")
    desk.send(desk.purchase())

    decided = desk.outcome("return", "p-1/r-1")
    assert waiting is not None
    assert waiting.outcome == "accepted"
    assert decided is not None
    assert decided.outcome == "recorded"
    assert decided.positions == [2]
    assert desk.types() == ["purchase.recorded", "return.recorded"]


def test_a_waiting_return_of_too_much_is_declined_when_the_purchase_comes(desk: Desk) -> None:
    desk.send(desk.return_(amount_minor=5_001), desk.purchase())

    outcome = desk.outcome("return", "p-1/r-1")
    assert outcome is not None
    assert (outcome.outcome, outcome.code) == ("declined", "return-too-large")


def test_a_return_waits_thirty_days_and_no_longer(desk: Desk) -> None:
    desk.send(desk.return_())
    desk.now = desk.now.replace(month=6)
    desk.tick()
    desk.send(desk.purchase())

    outcome = desk.outcome("return", "p-1/r-1")
    assert outcome is not None
    assert (outcome.outcome, outcome.code) == ("declined", "unknown-purchase")
    assert desk.types() == ["purchase.recorded"]


def test_a_return_of_another_merchants_purchase_does_not_touch_it(desk: Desk) -> None:
    desk.send(desk.purchase())
    line = {"line": "1", "quantity": 1, "amount_minor": 1}
    data = {"returned_at": "2026-05-01T11:00:00Z", "lines": [line]}
    desk.send(desk.command("return", "p-1/r-1", data, source="baker"))

    assert desk.types() == ["purchase.recorded"]


def test_partial_returns_never_exceed_the_purchase(desk: Desk) -> None:
    desk.send(desk.purchase(), desk.return_("p-1/a"), desk.return_("p-1/b"))
    desk.send(desk.return_("p-1/c"))

    third = desk.outcome("return", "p-1/c")
    assert third is not None
    assert third.code == "return-too-large"
    assert desk.types().count("return.recorded") == 2


def test_spent_points_that_are_taken_back_are_owed_and_repaid(desk: Desk) -> None:
    desk.send(desk.purchase(), desk.award(100), desk.redemption("s-1", 100))
    desk.send(desk.take_back(30))
    owed = desk.points()
    desk.send(desk.award(50, purchase="p-2"), desk.redemption("s-2", 21))

    assert owed == -30
    assert desk.points() == 20
    declined = desk.outcome("redemption", "s-2")
    assert declined is not None
    assert declined.code == "not-enough-points"
    assert is_sound(desk)


def test_a_lot_is_earned_once_whoever_asks(desk: Desk) -> None:
    desk.send(desk.award(100), desk.award(100, version=2))

    assert desk.points() == 100
    assert desk.letters() == []


def test_spends_across_many_lots_in_order(desk: Desk) -> None:
    desk.send(*(desk.award(1, purchase=f"p-{n}") for n in range(300)))
    desk.send(desk.redemption("s-1", 250), desk.award(7, purchase="late"))
    desk.send(desk.redemption("s-2", 57), desk.redemption("s-3", 1))

    assert desk.points() == 0
    last = desk.outcome("redemption", "s-3")
    assert last is not None
    assert last.outcome == "declined"
    assert is_sound(desk)


def test_points_end_once_at_their_instant_after_any_downtime(desk: Desk) -> None:
    end = "2026-05-03T00:00:00-04:00"
    desk.send(desk.award(100, expires_at=end), desk.redemption("s-1", 30))
    desk.now = desk.now.replace(day=3, hour=3, minute=59)
    desk.tick()
    before = desk.types()
    desk.now = desk.now.replace(day=10)
    desk.tick()
    desk.tick()

    assert before == ["points.earned", "points.redeemed"]
    assert desk.types() == ["points.earned", "points.redeemed", "points.expired"]
    expired = desk.events()[-1]
    assert expired.occurred_at.isoformat() == end
    assert desk.points() == 0
    assert is_sound(desk)


def test_a_lot_restored_after_its_end_ends_again(desk: Desk) -> None:
    desk.send(desk.award(100, expires_at="2026-05-03T00:00:00Z"), desk.redemption("s-1", 30))
    desk.now = desk.now.replace(day=10)
    desk.tick()
    desk.send(desk.reversal("s-1"))
    available = desk.points()
    desk.tick()

    assert available == 0
    assert desk.types()[-3:] == ["points.expired", "points.restored", "points.expired"]
    assert is_sound(desk)


def test_reversing_twice_gives_back_once(desk: Desk) -> None:
    desk.send(desk.award(100), desk.redemption("s-1", 60))
    desk.send(desk.reversal("s-1"), desk.reversal("s-1"))
    desk.send(desk.reversal("s-1"))

    assert desk.points() == 100


def test_reversing_what_never_was_is_declined(desk: Desk) -> None:
    desk.send(desk.reversal("s-9"))

    outcome = desk.outcome("reversal", "s-9")
    assert outcome is not None
    assert outcome.code == "unknown-redemption"
