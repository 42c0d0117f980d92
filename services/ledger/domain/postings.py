"""Double entry: both sides of what every event moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.ledger.domain.events import (
    CardBlocked,
    CardIssued,
    Event,
    LotPoints,
    PointsEarned,
    PointsExpired,
    PointsRedeemed,
    PointsRepaid,
    PointsRestored,
    PointsTakenBack,
    PurchaseClaimed,
    PurchaseRecorded,
    ReturnRecorded,
)


class Account(StrEnum):
    """The two sides of every movement. Balances of all accounts always sum to zero."""

    AVAILABLE = "available"  # the member's, by lot
    OWED = "owed"  # the member's: negative
    ISSUED = "issued"
    REDEEMED = "redeemed"
    EXPIRED = "expired"
    TAKEN_BACK = "taken-back"
    OWED_BETWEEN_MERCHANTS = "owed-between-merchants"  # negative: the issuer's, who owes them


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of a movement."""

    account: Account
    points: int  # signed
    lot: str | None = None
    merchant: str | None = None  # whose side between merchants it is; None: the event's own


def postings(event: Event) -> list[Posting]:  # noqa: PLR0911  # one return an event
    """Both sides of what an event moves; they sum to zero."""
    match event:
        case (
            PurchaseRecorded() | PurchaseClaimed() | ReturnRecorded() | CardIssued() | CardBlocked()
        ):
            return []
        case PointsEarned(lot=lot, points=points):
            return _transfer(Account.ISSUED, [Posting(Account.AVAILABLE, points, lot)])
        case PointsRedeemed(lots=lots):
            return [*_transfer(Account.REDEEMED, _taken(lots)), *_settled(lots, 1)]
        case PointsRestored(lots=lots):
            given = [Posting(Account.AVAILABLE, part.points, part.lot) for part in lots]
            return [*_transfer(Account.REDEEMED, given), *_settled(lots, -1)]
        case PointsTakenBack(lots=lots, owed=owed):
            owing = [Posting(Account.OWED, -owed)] if owed else []
            return _transfer(Account.TAKEN_BACK, [*_taken(lots), *owing])
        case PointsRepaid(lot=lot, points=points):
            return [
                Posting(Account.AVAILABLE, -points, lot),
                Posting(Account.OWED, points),
            ]
        case PointsExpired(
            lot=lot, points=points
        ):  # pragma: no branch  # mypy knows it is the last
            return _transfer(Account.EXPIRED, [Posting(Account.AVAILABLE, -points, lot)])


def _taken(lots: Sequence[LotPoints]) -> list[Posting]:
    return [Posting(Account.AVAILABLE, -part.points, part.lot) for part in lots]


def _settled(lots: Sequence[LotPoints], direction: int) -> list[Posting]:
    """Who issued owes who was paid with it; a reversal the other way round."""
    return [
        posting
        for part in lots
        if part.merchant is not None
        for posting in (
            Posting(Account.OWED_BETWEEN_MERCHANTS, direction * part.points),
            Posting(
                Account.OWED_BETWEEN_MERCHANTS, -direction * part.points, merchant=part.merchant
            ),
        )
    ]


def _transfer(against: Account, members: list[Posting]) -> list[Posting]:
    """The member's side and, against it, one posting of the other account."""
    return [*members, Posting(against, -sum(posting.points for posting in members))]
