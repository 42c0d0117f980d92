"""A member's points: pure decisions over lots.

Intervals are half-open: a lot is worth nothing from its ``expires_at`` on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from services.ledger.domain.errors import NotEnoughPoints, ReversalTooLarge
from services.ledger.domain.events import (
    Event,
    LotPoints,
    Origin,
    PointsEarned,
    PointsExpired,
    PointsRedeemed,
    PointsRepaid,
    PointsRestored,
    PointsTakenBack,
)

NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """Points that were earned together and end together."""

    lot: str
    unit: str
    points: int  # as earned
    points_left: int  # 0 <= points_left <= points
    earned_at: datetime
    expires_at: datetime | None
    purchase: str
    merchant: str

    @property
    def spending_order(self) -> tuple[datetime, datetime, str]:
        """Soonest end first; of equal ends the earlier earned, then the lower id."""
        return (self.expires_at or NEVER, self.earned_at, self.lot)

    def points_available(self, *, at: datetime) -> int:
        """What the lot is worth at an instant."""
        return self.points_left if self.expires_at is None or at < self.expires_at else 0

    def moved(self, points: int) -> Lot:
        """The lot after points were added or, when negative, taken."""
        points_left = self.points_left + points
        assert 0 <= points_left <= self.points, f"lot {self.lot}: {points_left} of {self.points}"
        return replace(self, points_left=points_left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """What a member has at hand of one unit."""

    unit: str
    lots: Sequence[Lot]  # open, in spending order: enough for the decision, or all there are
    points_owed: int


def earn(earned: PointsEarned, *, points_owed: int, now: datetime) -> list[Event]:
    """A new lot repays what the member owes; one that has ended already is worth nothing."""
    if earned.expires_at is not None and earned.expires_at <= now:
        ended = PointsExpired(
            lot=earned.lot,
            unit=earned.unit,
            points=earned.points,
            purchase=earned.purchase,
            expired_at=earned.expires_at,
        )
        return [earned, ended]
    lot = LotPoints(earned.lot, earned.points)
    # Repaid now, whenever the purchase was: the debt may be younger than it.
    return [earned, *_repay(lot, unit=earned.unit, points_owed=points_owed, at=now)]


def redeem(
    wallet: Wallet,
    *,
    redemption: str,
    points: int,
    merchant: str,
    purchase: str | None,
    now: datetime,
) -> PointsRedeemed:
    """Decide a redemption at a merchant: spend the lots that would expire soonest.

    Raises:
        NotEnoughPoints: unexpired lots, less what is owed, hold fewer than ``points``.
    """
    taken = _take(wallet.lots, points, merchant=merchant, now=now)
    points_covered = sum(part.points for part in taken)
    if points_covered < points or wallet.points_owed:
        points_available = points_covered - wallet.points_owed
        raise NotEnoughPoints(points_asked=points, points_available=points_available)
    return PointsRedeemed(
        redemption=redemption,
        unit=wallet.unit,
        lots=taken,
        purchase=purchase,
        redeemed_at=now,
    )


def reverse(
    redeemed: PointsRedeemed,
    lots: Mapping[str, Lot],
    *,
    points: int | None,
    points_owed: int,
    now: datetime,
) -> list[Event]:
    """Give points back to the very lots; of a part, what was spent last comes back first.

    What is given back to a lot that has not ended repays what the member owes.

    Raises:
        ReversalTooLarge: ``points`` exceeds what the redemption spent.
    """
    points_back = redeemed.points if points is None else points
    if points_back > redeemed.points:
        raise ReversalTooLarge(points_asked=points_back, points_spent=redeemed.points)
    given = _last_spent(redeemed, points_back)
    events: list[Event] = [
        PointsRestored(
            redemption=redeemed.redemption,
            unit=redeemed.unit,
            lots=tuple(given),
            purchase=redeemed.purchase,
            restored_at=now,
            redeemed_at=redeemed.redeemed_at,
        )
    ]
    for part in given:
        end = lots[part.lot].expires_at
        if end is not None and end <= now:
            continue
        repaid = _repay(part, unit=redeemed.unit, points_owed=points_owed, at=now)
        points_owed -= sum(one.points for one in repaid)
        events += repaid
    return events


def _last_spent(redeemed: PointsRedeemed, points: int) -> list[LotPoints]:
    given: list[LotPoints] = []
    for part in reversed(redeemed.lots):
        if points == 0:
            break
        given.append(replace(part, points=min(part.points, points)))
        points -= given[-1].points
    return given


def take_back(  # noqa: PLR0913  # plain facts, each named by its caller
    own: Lot,
    others: Sequence[Lot],
    *,
    return_id: str,
    points: int,
    returned_at: datetime,
    now: datetime,
    origin: Origin,
) -> PointsTakenBack:
    """Take from the purchase's own lot, then from the soonest-ending ones; the rest is owed.

    A lot that has ended is worth nothing, whether the clock has noticed or not. ``others`` are the
    member's unexpired lots in spending order: enough to cover, or all there are.
    """
    from_own = min(own.points_available(at=now), points)
    taken = [LotPoints(own.lot, from_own)] if from_own else []
    points_missing = points - from_own
    for lot in others:
        some = min(lot.points_left, points_missing) if lot.lot != own.lot else 0
        if some:
            taken.append(LotPoints(lot.lot, some))
            points_missing -= some
    return PointsTakenBack(
        purchase=own.purchase,
        return_id=return_id,
        lot=own.lot,
        unit=own.unit,
        lots=tuple(taken),
        owed=points_missing,
        returned_at=returned_at,
        origin=origin,
    )


def expire(lot: Lot, *, now: datetime) -> PointsExpired | None:
    """End a lot whose time has come; None when nothing is left of it, or it is too early."""
    if lot.points_left == 0 or lot.expires_at is None or now < lot.expires_at:
        return None
    return PointsExpired(
        lot=lot.lot,
        unit=lot.unit,
        points=lot.points_left,
        purchase=lot.purchase,
        expired_at=lot.expires_at,
    )


def _take(
    lots: Sequence[Lot], points: int, *, merchant: str, now: datetime
) -> tuple[LotPoints, ...]:
    """Up to ``points`` from the unexpired ones, in their order; another's lot names its issuer."""
    taken: list[LotPoints] = []
    for lot in lots:
        if points == 0:
            break
        some = min(lot.points_available(at=now), points)
        if some:
            issuer = None if lot.merchant == merchant else lot.merchant
            taken.append(LotPoints(lot.lot, some, issuer))
            points -= some
    return tuple(taken)


def _repay(part: LotPoints, *, unit: str, points_owed: int, at: datetime) -> list[PointsRepaid]:
    points = min(part.points, points_owed)
    return [PointsRepaid(lot=part.lot, unit=unit, points=points, repaid_at=at)] if points else []
