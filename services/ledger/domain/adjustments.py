"""Points put right by an operator: granted or withdrawn, with a reason and the key's name."""

from __future__ import annotations

from datetime import datetime

from services.ledger.domain.account import Wallet, repay
from services.ledger.domain.errors import AboveTheLimit, ExpiryInThePast
from services.ledger.domain.events import (
    Event,
    PointsGranted,
    PointsWithdrawn,
)
from services.ledger.domain.parts import Actor, LotPoints


def check_limit(points: int, *, limit: int) -> None:
    """One operator alone adjusts so many points at most.

    Raises:
        AboveTheLimit: ``points`` exceeds it.
    """
    if points > limit:
        raise AboveTheLimit(points_asked=points, limit=limit)


def grant(granted: PointsGranted, *, points_owed: int) -> list[Event]:
    """A lot that no purchase earned; like an earned one it repays what the member owes.

    Raises:
        ExpiryInThePast: it would be worth nothing.
    """
    if granted.expires_at is not None and granted.expires_at <= granted.granted_at:
        raise ExpiryInThePast("points that are granted end later than now, or never")
    lot = LotPoints(granted.lot, granted.points)
    at = granted.granted_at
    return [granted, *repay([lot], unit=granted.unit, points_owed=points_owed, at=at)]


def withdraw(
    wallet: Wallet,
    *,
    adjustment: str,
    points: int,
    reason: str,
    by: Actor,
    now: datetime,
) -> PointsWithdrawn:
    """Take the points that a redemption would spend; nobody comes to owe any by it.

    Raises:
        NotEnoughPoints: unexpired lots, less what is owed, hold fewer than ``points``.
    """
    return PointsWithdrawn(
        adjustment=adjustment,
        unit=wallet.unit,
        lots=wallet.pick(points, now=now),
        reason=reason,
        by=by,
        withdrawn_at=now,
    )
