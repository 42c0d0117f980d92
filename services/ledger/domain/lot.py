"""A lot: points that were earned together and end together.

Intervals are half-open: a lot is worth nothing from its ``expires_at`` on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from services.ledger.domain.events import (
    Event,
    PointsEarned,
    PointsGranted,
)
from services.ledger.domain.parts import LotPoints
from services.ledger.domain.postings import Account
from services.ledger.domain.terms import STANDARD, Terms

NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """What is left of some points, and where it stands: at hand, promised, or set aside."""

    lot: str
    unit: str
    points: int  # as earned; never fewer than the three below together
    points_left: int  # at hand
    points_pending: int = 0
    points_held: int = 0
    earned_at: datetime
    expires_at: datetime | None
    credit_at: datetime | None = None  # when what is pending is due
    purchase: str | None
    merchant: str  # who issued it
    terms: Terms = STANDARD

    @property
    def spending_order(self) -> tuple[int, datetime, datetime, str]:
        """By rank; then soonest end first; of equal ends the earlier earned, then the lower id."""
        return (self.terms.rank, self.expires_at or NEVER, self.earned_at, self.lot)

    def has_ended(self, *, at: datetime) -> bool:
        """Whether it is worth nothing any more."""
        return self.expires_at is not None and self.expires_at <= at

    def points_available(self, *, at: datetime) -> int:
        """What the lot is worth at an instant."""
        return 0 if self.has_ended(at=at) else self.points_left

    def moved(self, account: Account, points: int) -> Lot:
        """The lot after points were added to one of its accounts or, when negative, taken."""
        after = replace(self, **{_FIELDS[account]: getattr(self, _FIELDS[account]) + points})
        parts = (after.points_left, after.points_pending, after.points_held)
        assert min(parts) >= 0, f"lot {self.lot}: {points} more are {account}: {parts}"
        assert sum(parts) <= self.points, f"lot {self.lot}: {parts} of {self.points}"
        return after


_FIELDS: Final = {
    Account.AVAILABLE: "points_left",
    Account.PENDING: "points_pending",
    Account.HELD: "points_held",
}


def opened(event: Event, *, merchant: str) -> list[Lot]:
    """The lots that begin with an event, empty: its postings fill them."""
    match event:
        case PointsEarned():
            return [
                Lot(
                    lot=event.lot,
                    unit=event.unit,
                    points=event.points,
                    points_left=0,
                    earned_at=event.earned_at,
                    expires_at=event.expires_at,
                    credit_at=event.credit_at,
                    purchase=event.purchase,
                    merchant=merchant,
                    terms=event.terms,
                )
            ]
        case PointsGranted():
            return [
                Lot(
                    lot=event.lot,
                    unit=event.unit,
                    points=event.points,
                    points_left=0,
                    earned_at=event.granted_at,
                    expires_at=event.expires_at,
                    purchase=None,
                    merchant=merchant,
                )
            ]
        case _:
            return []


def take(
    lots: Sequence[Lot], points: int, *, merchant: str | None = None, now: datetime
) -> tuple[LotPoints, ...]:
    """Up to ``points`` from the unexpired ones, in their order.

    Where a merchant takes them, another's lot names its issuer.
    """
    taken: list[LotPoints] = []
    for lot in lots:
        if points == 0:
            break
        some = min(lot.points_available(at=now), points)
        if some:
            issuer = None if merchant in (None, lot.merchant) else lot.merchant
            taken.append(LotPoints(lot.lot, some, issuer))
            points -= some
    return tuple(taken)
