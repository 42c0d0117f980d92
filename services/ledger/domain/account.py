"""A member's points: pure decisions over lots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from services.ledger.domain.errors import NotEnoughPoints, ReversalTooLarge
from services.ledger.domain.events import (
    Event,
    PointsCredited,
    PointsEarned,
    PointsExpired,
    PointsExtended,
    PointsRedeemed,
    PointsRepaid,
    PointsRestored,
    PointsTakenBack,
    PointsWrittenOff,
)
from services.ledger.domain.lot import Lot, take
from services.ledger.domain.parts import LotPoints, Origin
from services.ledger.domain.terms import Shortfall

LATE_AFTER: Final = timedelta(minutes=1)
"""A promise kept later than this was not kept in time, and is recorded as late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """What a member has at hand of one unit."""

    unit: str
    lots: Sequence[Lot]  # open, in spending order: enough for the decision, or all there are
    points_owed: int

    def pick(
        self, points: int, *, merchant: str | None = None, now: datetime
    ) -> tuple[LotPoints, ...]:
        """The lots that cover ``points``, at a merchant if one is paid, in the order of spending.

        Raises:
            NotEnoughPoints: unexpired lots, less what is owed, hold fewer.
        """
        taken = take(self.lots, points, merchant=merchant, now=now)
        points_covered = sum(part.points for part in taken)
        if points_covered < points or self.points_owed:
            points_available = points_covered - self.points_owed
            raise NotEnoughPoints(points_asked=points, points_available=points_available)
        return taken


def earn(earned: PointsEarned, *, points_owed: int, now: datetime) -> list[Event]:
    """A new lot repays what the member owes; one that has ended already is worth nothing.

    What is promised for a date that has passed is credited at once.
    """
    events: list[Event] = [earned]
    if earned.credit_at is not None:
        if now < earned.credit_at:
            return events
        events.append(_credited(earned, earned.points, promised_at=earned.credit_at, now=now))
    if earned.expires_at is not None and earned.expires_at <= now:
        ended = PointsExpired(
            lot=earned.lot,
            unit=earned.unit,
            points=earned.points,
            purchase=earned.purchase,
            expired_at=earned.expires_at,
        )
        return [*events, ended]
    lot = LotPoints(earned.lot, earned.points)
    # Repaid now, whenever the purchase was: the debt may be younger than it.
    return [*events, *repay([lot], unit=earned.unit, points_owed=points_owed, at=now)]


def credit(lot: Lot, *, points_owed: int, now: datetime) -> list[Event]:
    """Keep the promise of a date that has come; nothing when it is too early or nothing waits."""
    if not lot.points_pending or lot.credit_at is None or now < lot.credit_at:
        return []
    credited = _credited(lot, lot.points_pending, promised_at=lot.credit_at, now=now)
    if lot.has_ended(at=now):
        return [credited]
    part = LotPoints(lot.lot, lot.points_pending)
    return [credited, *repay([part], unit=lot.unit, points_owed=points_owed, at=now)]


def _credited(
    lot: Lot | PointsEarned, points: int, *, promised_at: datetime, now: datetime
) -> PointsCredited:
    return PointsCredited(
        lot=lot.lot,
        unit=lot.unit,
        points=points,
        purchase=lot.purchase,
        promised_at=promised_at,
        credited_at=now,
        is_late=now - promised_at > LATE_AFTER,
    )


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
    return PointsRedeemed(
        redemption=redemption,
        unit=wallet.unit,
        lots=wallet.pick(points, merchant=merchant, now=now),
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

    A lot that has ended meanwhile begins a time of grace if its terms say so; else what comes back
    to it ends at once. The rest repays what the member owes.

    Raises:
        ReversalTooLarge: ``points`` exceeds what the redemption spent.
    """
    points_back = redeemed.points if points is None else points
    if points_back > redeemed.points:
        raise ReversalTooLarge(points_asked=points_back, points_spent=redeemed.points)
    given = _last_spent(redeemed, points_back)
    restored = PointsRestored(
        redemption=redeemed.redemption,
        unit=redeemed.unit,
        lots=tuple(given),
        purchase=redeemed.purchase,
        restored_at=now,
        redeemed_at=redeemed.redeemed_at,
    )
    extended = [
        extension
        for part in given
        if (extension := _grace(lots[part.lot], part.points, now=now)) is not None
    ]
    alive = alive_of(given, lots, now=now, besides={each.lot for each in extended})
    repaid = repay(alive, unit=redeemed.unit, points_owed=points_owed, at=now)
    return [restored, *extended, *repaid]


def _grace(lot: Lot, points: int, *, now: datetime) -> PointsExtended | None:
    if lot.terms.grace is None or not lot.has_ended(at=now):
        return None
    assert lot.expires_at is not None, "it has ended"
    return PointsExtended(
        lot=lot.lot,
        unit=lot.unit,
        points=points,
        purchase=lot.purchase,
        was=lot.expires_at,
        expires_at=now + lot.terms.grace,
        extended_at=now,
    )


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
) -> list[Event]:
    """Take what is pending of the purchase's own lot, then what is at hand, its own first.

    A lot that has ended is worth nothing, whether the clock has noticed or not. ``others`` are the
    member's unexpired lots in spending order: enough to cover, or all there are. What is spent is
    owed, unless the lot's terms forgive it.
    """
    assert own.purchase is not None, "returns take back what a purchase earned"
    pending = min(own.points_pending, points)
    rest = [lot for lot in others if lot.lot != own.lot]
    taken = take([own, *rest], points - pending, now=now)
    owed = points - pending - sum(part.points for part in taken)
    events: list[Event] = [
        PointsTakenBack(
            purchase=own.purchase,
            return_id=return_id,
            lot=own.lot,
            unit=own.unit,
            lots=taken,
            owed=owed,
            returned_at=returned_at,
            origin=origin,
            pending=pending,
        )
    ]
    if owed and own.terms.shortfall is Shortfall.WRITE_OFF:
        events.append(_forgiven(own, own.purchase, return_id, owed, now=now))
    return events


def _forgiven(
    own: Lot, purchase: str, return_id: str, points: int, *, now: datetime
) -> PointsWrittenOff:
    return PointsWrittenOff(
        purchase=purchase,
        return_id=return_id,
        lot=own.lot,
        unit=own.unit,
        points=points,
        written_off_at=now,
    )


def expire(lot: Lot, *, now: datetime) -> PointsExpired | None:
    """End a lot whose time has come; None when nothing is left of it, or it is too early.

    What is set aside of it stays so: a till that holds points was promised them.
    """
    if lot.points_left == 0 or lot.expires_at is None or now < lot.expires_at:
        return None
    return PointsExpired(
        lot=lot.lot,
        unit=lot.unit,
        points=lot.points_left,
        purchase=lot.purchase,
        expired_at=lot.expires_at,
    )


def alive_of(
    parts: Iterable[LotPoints],
    lots: Mapping[str, Lot],
    *,
    now: datetime,
    besides: Iterable[str] = (),
) -> list[LotPoints]:
    """Those whose lot has not ended, and those of the lots named ``besides``."""
    return [part for part in parts if part.lot in besides or not lots[part.lot].has_ended(at=now)]


def repay(parts: Iterable[LotPoints], *, unit: str, points_owed: int, at: datetime) -> list[Event]:
    """What comes to a member's lots goes to what the member owes, as far as it reaches."""
    repaid: list[Event] = []
    for part in parts:
        points = min(part.points, points_owed)
        if points:
            repaid.append(PointsRepaid(lot=part.lot, unit=unit, points=points, repaid_at=at))
            points_owed -= points
    return repaid
