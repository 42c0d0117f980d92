"""Points set aside: what a hold takes, spends and gives back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain import holds
from services.ledger.domain.account import Wallet
from services.ledger.domain.errors import CaptureTooLarge, HoldHasEnded, NotEnoughPoints
from services.ledger.domain.events import (
    PointsCaptured,
    PointsHeld,
    PointsReleased,
    PointsRepaid,
    Release,
)
from services.ledger.domain.lot import Lot
from services.ledger.domain.parts import LotPoints

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def lot(name: str, points: int = 100, *, ends_at: datetime | None = None) -> Lot:
    return Lot(
        lot=name,
        unit="points",
        points=points,
        points_left=points,
        earned_at=NOW,
        expires_at=ends_at,
        purchase="p",
        merchant="grocer",
    )


LOTS = {"may": lot("may", 40), "june": lot("june", 60)}
HELD = PointsHeld(
    hold="h-1",
    unit="points",
    lots=(LotPoints("may", 40), LotPoints("june", 60)),
    held_at=NOW,
    expires_at=LATER,
)


def capture(points: int | None, *, owed: int = 0, now: datetime = NOW) -> list[object]:
    return [*holds.capture(HELD, LOTS, points=points, purchase="p-9", points_owed=owed, now=now)]


def test_a_hold_takes_what_a_redemption_would() -> None:
    wallet = Wallet(unit="points", lots=list(LOTS.values()), points_owed=0)

    held = holds.hold(wallet, hold="h-1", points=70, merchant="grocer", expires_at=LATER, now=NOW)

    assert held.lots == (LotPoints("may", 40), LotPoints("june", 30))
    assert held.points == 70


def test_holds_no_more_than_there_is() -> None:
    wallet = Wallet(unit="points", lots=[LOTS["may"]], points_owed=0)

    with pytest.raises(NotEnoughPoints):
        holds.hold(wallet, hold="h", points=41, merchant="grocer", expires_at=LATER, now=NOW)


def test_a_hold_ends_ahead() -> None:
    wallet = Wallet(unit="points", lots=[LOTS["may"]], points_owed=0)

    with pytest.raises(HoldHasEnded):
        holds.hold(wallet, hold="h", points=1, merchant="grocer", expires_at=NOW, now=NOW)


def test_captures_all_of_it() -> None:
    assert capture(None) == [
        PointsCaptured(hold="h-1", unit="points", lots=HELD.lots, captured_at=NOW, purchase="p-9")
    ]


@given(points=st.integers(1, 100))
def test_what_is_not_captured_is_released(points: int) -> None:
    captured, *released = capture(points)

    assert isinstance(captured, PointsCaptured)
    assert captured.points == points
    assert sum(each.points for each in released if isinstance(each, PointsReleased)) == 100 - points


def test_captures_in_the_order_of_spending_and_says_why_the_rest_is_released() -> None:
    captured, released = capture(50)

    assert isinstance(captured, PointsCaptured)
    assert captured.lots == (LotPoints("may", 40), LotPoints("june", 10))
    assert isinstance(released, PointsReleased)
    assert released.lots == (LotPoints("june", 50),)
    assert released.reason is Release.CAPTURED_IN_PART


def test_captures_no_more_than_is_held() -> None:
    with pytest.raises(CaptureTooLarge, match="101 points, 100 are held"):
        capture(101)


def test_captures_nothing_after_the_holds_end() -> None:
    with pytest.raises(HoldHasEnded):
        capture(None, now=LATER)


def test_what_is_released_repays_what_is_owed_unless_its_lot_has_ended() -> None:
    lots = {"may": lot("may", 40, ends_at=NOW), "june": lot("june", 60)}

    released, *repaid = holds.release(HELD, lots, reason=Release.ASKED, points_owed=90, now=NOW)

    assert isinstance(released, PointsReleased)
    assert released.points == 100
    assert repaid == [PointsRepaid(lot="june", unit="points", points=60, repaid_at=NOW)]
