"""Points put right by an operator: what is granted, what is withdrawn, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain import adjustments
from services.ledger.domain.account import Wallet
from services.ledger.domain.errors import AboveTheLimit, ExpiryInThePast, NotEnoughPoints
from services.ledger.domain.events import PointsGranted, PointsRepaid, PointsWithdrawn
from services.ledger.domain.lot import Lot, opened
from services.ledger.domain.parts import Actor, LotPoints
from services.ledger.domain.postings import Account, Posting, postings

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ANNA = Actor(key="key-1", name="anna")
GRANTED = PointsGranted(
    adjustment="a-1",
    lot="new",
    unit="points",
    points=50,
    reason="the till was down",
    by=ANNA,
    granted_at=NOW,
    expires_at=None,
)


def lot(name: str, points: int, *, merchant: str = "grocer", days: int = 30) -> Lot:
    return Lot(
        lot=name,
        unit="points",
        points=points,
        points_left=points,
        earned_at=NOW,
        expires_at=NOW + timedelta(days=days),
        purchase="p",
        merchant=merchant,
    )


def withdraw(wallet: Wallet, points: int) -> PointsWithdrawn:
    return adjustments.withdraw(
        wallet, adjustment="a-2", points=points, reason="twice", by=ANNA, now=NOW
    )


def wallet(*lots: Lot, owed: int = 0) -> Wallet:
    return Wallet(unit="points", lots=lots, points_owed=owed)


def test_a_grant_opens_a_lot_that_no_purchase_earned() -> None:
    end = NOW + timedelta(days=1)
    [granted] = adjustments.grant(replace(GRANTED, expires_at=end), points_owed=0)

    [new] = opened(granted, merchant="grocer")

    assert (new.lot, new.points, new.purchase, new.merchant) == ("new", 50, None, "grocer")
    assert (new.earned_at, new.expires_at) == (NOW, end)
    assert postings(granted) == [
        Posting(Account.AVAILABLE, 50, "new"),
        Posting(Account.ADJUSTED, -50),
    ]


def test_a_grant_repays_what_is_owed() -> None:
    assert adjustments.grant(GRANTED, points_owed=20) == [
        GRANTED,
        PointsRepaid(lot="new", unit="points", points=20, repaid_at=NOW),
    ]


def test_nothing_is_granted_that_has_ended() -> None:
    with pytest.raises(ExpiryInThePast):
        adjustments.grant(replace(GRANTED, expires_at=NOW), points_owed=0)


def test_withdraws_in_the_order_of_spending_whoever_issued_them() -> None:
    withdrawn = withdraw(wallet(lot("may", 40), lot("june", 60, merchant="baker")), 70)

    assert withdrawn.lots == (LotPoints("may", 40), LotPoints("june", 30))
    assert withdrawn.points == 70
    assert postings(withdrawn) == [
        Posting(Account.AVAILABLE, -40, "may"),
        Posting(Account.AVAILABLE, -30, "june"),
        Posting(Account.ADJUSTED, 70),
    ]


@given(points=st.integers(1, 200), owed=st.integers(0, 5))
def test_withdraws_all_or_nothing(points: int, owed: int) -> None:
    have = wallet(lot("gone", 50, days=0), lot("may", 40), lot("june", 60), owed=owed)

    if points > 100 or owed:
        with pytest.raises(NotEnoughPoints):
            withdraw(have, points)
    else:
        assert sum(posting.points for posting in postings(withdraw(have, points))) == 0


def test_nobody_alone_adjusts_more_than_the_limit() -> None:
    adjustments.check_limit(100, limit=100)

    with pytest.raises(AboveTheLimit, match="asked to adjust 101 points, the limit is 100"):
        adjustments.check_limit(101, limit=100)
