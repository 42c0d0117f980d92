"""Points set aside for a while: held, then captured in full or in part, or released."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from services.ledger.domain.account import Wallet, alive_of, repay
from services.ledger.domain.errors import CaptureTooLarge, HoldHasEnded
from services.ledger.domain.events import (
    Event,
    PointsCaptured,
    PointsHeld,
    PointsReleased,
    Release,
)
from services.ledger.domain.lot import Lot
from services.ledger.domain.parts import LotPoints


def hold(
    wallet: Wallet,
    *,
    hold: str,
    points: int,
    merchant: str,
    expires_at: datetime,
    now: datetime,
) -> PointsHeld:
    """Set points aside for a merchant: those that a redemption would spend.

    Raises:
        HoldHasEnded: ``expires_at`` has come already.
        NotEnoughPoints: unexpired lots, less what is owed, hold fewer than ``points``.
    """
    if expires_at <= now:
        raise HoldHasEnded(hold, "its end lies in the past")
    return PointsHeld(
        hold=hold,
        unit=wallet.unit,
        lots=wallet.pick(points, merchant=merchant, now=now),
        held_at=now,
        expires_at=expires_at,
    )


def capture(
    held: PointsHeld,
    lots: Mapping[str, Lot],
    *,
    points: int | None,
    purchase: str | None,
    points_owed: int,
    now: datetime,
) -> list[Event]:
    """Spend what was set aside, in its order; what is left of it is released.

    Raises:
        CaptureTooLarge: ``points`` exceeds the hold.
        HoldHasEnded: its end has come.
    """
    if held.expires_at <= now:
        raise HoldHasEnded(held.hold, "its end has come")
    points_left = held.points if points is None else points
    if points_left > held.points:
        raise CaptureTooLarge(points_asked=points_left, points_held=held.points)
    spent: list[LotPoints] = []
    rest: list[LotPoints] = []
    for part in held.lots:
        some = min(part.points, points_left)
        points_left -= some
        spent += [replace(part, points=some)] if some else []
        rest += [replace(part, points=part.points - some)] if some < part.points else []
    captured = PointsCaptured(
        hold=held.hold, unit=held.unit, lots=tuple(spent), captured_at=now, purchase=purchase
    )
    if not rest:
        return [captured]
    reason = Release.CAPTURED_IN_PART
    released = _released(held, rest, lots, reason=reason, points_owed=points_owed, now=now)
    return [captured, *released]


def release(
    held: PointsHeld,
    lots: Mapping[str, Lot],
    *,
    reason: Release,
    points_owed: int,
    now: datetime,
) -> list[Event]:
    """Give all of it back to its lots; what has not ended repays what the member owes."""
    return _released(held, held.lots, lots, reason=reason, points_owed=points_owed, now=now)


def _released(
    held: PointsHeld,
    parts: list[LotPoints] | tuple[LotPoints, ...],
    lots: Mapping[str, Lot],
    *,
    reason: Release,
    points_owed: int,
    now: datetime,
) -> list[Event]:
    released = PointsReleased(
        hold=held.hold, unit=held.unit, lots=tuple(parts), released_at=now, reason=reason
    )
    alive = alive_of(parts, lots, now=now)
    return [released, *repay(alive, unit=held.unit, points_owed=points_owed, at=now)]
