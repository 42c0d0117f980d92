"""Points promised and points set aside, from the command to the books, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.ledger.domain.events import PointsCredited, PointsReleased, Release
from services.ledger.verify import verify
from services.runtime.clock import rfc3339
from services.runtime.database import Database
from services.runtime.stream import Message
from tests.support.desk import Desk


@pytest.fixture
def desk(database: Database) -> Desk:
    desk = Desk(database)
    desk.send(desk.purchase(), desk.award(100))
    return desk


def hold(desk: Desk, id_: str = "h-1", *, points: int = 60) -> Message:
    ends_at = rfc3339(desk.now + timedelta(hours=1))
    data = {"member": "1130", "unit": "points", "points": points, "expires_at": ends_at}
    return desk.command("hold", id_, data)


def redemption(desk: Desk, id_: str, points: int) -> Message:
    return desk.command("redemption", id_, {"member": "1130", "unit": "points", "points": points})


def outcome_of(desk: Desk, type_: str, id_: str = "h-1") -> tuple[str, str | None]:
    found = desk.outcome(type_, id_)
    assert found is not None
    return found.outcome, found.code


def books_are_right(desk: Desk) -> bool:
    verdict = verify(desk.database, progress=lambda *_: None)
    assert verdict.ok, verdict
    return True


def test_what_is_held_is_spent_by_nobody_else(desk: Desk) -> None:
    desk.send(hold(desk), redemption(desk, "r-1", 41), redemption(desk, "r-2", 40))

    assert outcome_of(desk, "hold") == ("recorded", None)
    assert outcome_of(desk, "redemption", "r-1") == ("declined", "not-enough-points")
    assert outcome_of(desk, "redemption", "r-2") == ("recorded", None)
    assert desk.points() == 0
    assert books_are_right(desk)


def test_a_capture_of_a_part_releases_the_rest(desk: Desk) -> None:
    desk.send(hold(desk), desk.command("capture", "h-1", {"points": 45}))

    assert desk.types()[-3:] == ["points.held", "points.captured", "points.released"]
    assert desk.points() == 55
    assert books_are_right(desk)


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ("capture", "release", "hold-captured"),
        ("release", "capture", "hold-released"),
    ],
)
def test_a_hold_ends_once(desk: Desk, first: str, second: str, code: str) -> None:
    desk.send(hold(desk))

    desk.send(desk.command(first, "h-1", {}), desk.command(second, "h-1", {}))

    assert outcome_of(desk, first) == ("recorded", None)
    assert outcome_of(desk, second) == ("declined", code)
    assert books_are_right(desk)


def test_nothing_is_captured_of_a_hold_that_nobody_made(desk: Desk) -> None:
    desk.send(desk.command("capture", "h-9", {}))

    assert outcome_of(desk, "capture", "h-9") == ("declined", "unknown-hold")


def test_a_capture_above_the_hold_is_declined_and_the_hold_stands(desk: Desk) -> None:
    desk.send(hold(desk), desk.command("capture", "h-1", {"points": 61}))

    assert outcome_of(desk, "capture") == ("declined", "capture-too-large")
    assert desk.points() == 40


def test_the_clock_ends_a_hold_once(desk: Desk) -> None:
    desk.send(hold(desk))
    desk.now += timedelta(hours=2)

    desk.tick()
    desk.tick()
    desk.send(desk.command("capture", "h-1", {}))

    [released] = [each.event for each in desk.events() if isinstance(each.event, PointsReleased)]
    assert released.reason is Release.EXPIRED
    assert outcome_of(desk, "capture") == ("declined", "hold-expired")
    assert desk.points() == 100
    assert books_are_right(desk)


def test_held_points_outlive_their_lot_and_end_when_they_are_released(desk: Desk) -> None:
    desk.send(desk.purchase("p-2"))
    soon = rfc3339(desk.now + timedelta(minutes=10))
    desk.send(desk.award(10, purchase="p-2", expires_at=soon), hold(desk, points=10))
    desk.now += timedelta(minutes=20)
    desk.tick()
    assert desk.types()[-1] == "points.held"

    desk.send(desk.command("release", "h-1", {}))
    desk.tick()

    assert desk.types()[-2:] == ["points.released", "points.expired"]
    assert desk.points() == 100
    assert books_are_right(desk)


def promised(desk: Desk, points: int = 50) -> Message:
    credit_at = rfc3339(desk.now + timedelta(days=14))
    return desk.award(points, purchase="p-2", credit_at=credit_at)


def test_promised_points_cannot_be_spent_until_the_clock_credits_them(desk: Desk) -> None:
    desk.send(desk.purchase("p-2"), promised(desk))
    desk.send(redemption(desk, "r-1", 101))
    desk.tick()
    assert outcome_of(desk, "redemption", "r-1") == ("declined", "not-enough-points")

    desk.now += timedelta(days=14)
    desk.tick()
    desk.tick()

    [credited] = [each.event for each in desk.events() if isinstance(each.event, PointsCredited)]
    assert not credited.is_late
    assert desk.points() == 150
    assert books_are_right(desk)


def test_a_promise_is_kept_late_after_a_week_of_downtime_and_says_so(desk: Desk) -> None:
    desk.send(desk.purchase("p-2"), promised(desk))
    desk.now += timedelta(days=21)

    desk.tick()

    [credited] = [each.event for each in desk.events() if isinstance(each.event, PointsCredited)]
    assert credited.is_late
    assert credited.credited_at == desk.now


def test_a_return_cuts_a_promise(desk: Desk) -> None:
    desk.send(desk.purchase("p-2"), promised(desk))

    desk.send(desk.take_back(30, purchase="p-2"))
    desk.now += timedelta(days=14)
    desk.tick()

    assert desk.points() == 120
    assert books_are_right(desk)


def test_what_is_spent_is_written_off_where_the_programme_says_so(desk: Desk) -> None:
    desk.send(desk.purchase("p-2"), desk.award(50, purchase="p-2", shortfall="write-off"))
    desk.send(redemption(desk, "r-1", 150))

    desk.send(desk.take_back(30, purchase="p-2"))

    assert desk.types()[-2:] == ["points.taken-back", "points.written-off"]
    assert desk.points() == 0
    assert books_are_right(desk)


def test_a_return_is_refused_where_the_programme_says_so(desk: Desk) -> None:
    desk.send(desk.purchase("p-2"), desk.award(50, purchase="p-2", shortfall="refuse"))
    desk.send(redemption(desk, "r-1", 130))

    desk.send(desk.return_("p-2/r-1", amount_minor=2_500), desk.return_("p-2/r-2", amount_minor=1))

    assert outcome_of(desk, "return", "p-2/r-1") == ("declined", "points-spent")
    assert outcome_of(desk, "return", "p-2/r-2") == ("recorded", None)


def test_a_restored_lot_that_has_ended_has_its_time_of_grace_and_then_ends(desk: Desk) -> None:
    soon = rfc3339(desk.now + timedelta(minutes=10))
    desk.send(desk.purchase("p-2"))
    desk.send(desk.award(50, purchase="p-2", expires_at=soon, grace_s=3_600))
    desk.send(redemption(desk, "r-1", 150))
    desk.now += timedelta(minutes=20)

    desk.send(desk.command("reversal", "r-1", {}))
    desk.tick()
    assert desk.points() == 150
    assert "points.extended" in desk.types()

    desk.now += timedelta(hours=1)
    desk.tick()
    assert desk.points() == 100
    assert books_are_right(desk)
