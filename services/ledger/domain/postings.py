"""Double entry: both sides of what every event moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.ledger.domain.events import (
    CardBlocked,
    CardIssued,
    Event,
    PointsCaptured,
    PointsCredited,
    PointsEarned,
    PointsExpired,
    PointsExtended,
    PointsGranted,
    PointsHeld,
    PointsRedeemed,
    PointsReleased,
    PointsRepaid,
    PointsRestored,
    PointsTakenBack,
    PointsWithdrawn,
    PointsWrittenOff,
    PurchaseClaimed,
    PurchaseRecorded,
    ReturnRecorded,
)
from services.ledger.domain.parts import LotPoints


class Account(StrEnum):
    """The chart of accounts. Of each unit the balances of all accounts sum to zero."""

    AVAILABLE = "available"  # the member's, by lot
    PENDING = "pending"  # the member's, by lot: promised for a date
    HELD = "held"  # the member's, by lot: set aside
    OWED = "owed"  # the member's: negative
    ISSUED = "issued"
    REDEEMED = "redeemed"
    EXPIRED = "expired"
    REVERSED = "reversed"  # taken back by returns
    ADJUSTED = "adjusted"  # granted or withdrawn by operators
    WRITTEN_OFF = "written-off"  # owed by members and forgiven
    OWED_BETWEEN_MERCHANTS = "owed-between-merchants"  # negative: the issuer's, who owes them


OF_LOTS = frozenset((Account.AVAILABLE, Account.PENDING, Account.HELD))


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of a movement."""

    account: Account
    points: int  # signed
    lot: str | None = None
    merchant: str | None = None  # whose side between merchants it is; None: the event's own


def postings(event: Event) -> list[Posting]:  # noqa: C901, PLR0911, PLR0912  # a line each
    """Both sides of what an event moves; they sum to zero."""
    match event:
        case PurchaseRecorded() | PurchaseClaimed() | ReturnRecorded():
            return []
        case CardIssued() | CardBlocked() | PointsExtended():
            return []
        case PointsEarned(lot=lot, points=points, credit_at=credit_at):
            account = Account.AVAILABLE if credit_at is None else Account.PENDING
            return _transfer(Account.ISSUED, [Posting(account, points, lot)])
        case PointsCredited(lot=lot, points=points):
            return _moved([LotPoints(lot, points)], Account.PENDING, Account.AVAILABLE)
        case PointsRedeemed(lots=lots):
            return _spent(lots, Account.AVAILABLE)
        case PointsRestored(lots=lots):
            given = _transfer(Account.REDEEMED, _of(lots, Account.AVAILABLE, 1))
            return [*given, *_settled(lots, -1)]
        case PointsHeld(lots=lots):
            return _moved(lots, Account.AVAILABLE, Account.HELD)
        case PointsCaptured(lots=lots):
            return _spent(lots, Account.HELD)
        case PointsReleased(lots=lots):
            return _moved(lots, Account.HELD, Account.AVAILABLE)
        case PointsTakenBack():
            return _transfer(Account.REVERSED, _taken_back(event))
        case PointsGranted(lot=lot, points=points):
            return _transfer(Account.ADJUSTED, [Posting(Account.AVAILABLE, points, lot)])
        case PointsWithdrawn(lots=lots):
            return _transfer(Account.ADJUSTED, _of(lots, Account.AVAILABLE, -1))
        case PointsWrittenOff(points=points):
            return _transfer(Account.WRITTEN_OFF, [Posting(Account.OWED, points)])
        case PointsRepaid(lot=lot, points=points):
            return [
                Posting(Account.AVAILABLE, -points, lot),
                Posting(Account.OWED, points),
            ]
        case PointsExpired(
            lot=lot, points=points
        ):  # pragma: no branch  # mypy knows it is the last
            return _transfer(Account.EXPIRED, [Posting(Account.AVAILABLE, -points, lot)])


def _of(lots: Sequence[LotPoints], account: Account, sign: int) -> list[Posting]:
    return [Posting(account, sign * part.points, part.lot) for part in lots]


def _moved(lots: Sequence[LotPoints], from_: Account, to: Account) -> list[Posting]:
    return [*_of(lots, from_, -1), *_of(lots, to, 1)]


def _spent(lots: Sequence[LotPoints], from_: Account) -> list[Posting]:
    return [*_transfer(Account.REDEEMED, _of(lots, from_, -1)), *_settled(lots, 1)]


def _taken_back(event: PointsTakenBack) -> list[Posting]:
    pending = [Posting(Account.PENDING, -event.pending, event.lot)] if event.pending else []
    owing = [Posting(Account.OWED, -event.owed)] if event.owed else []
    return [*pending, *_of(event.lots, Account.AVAILABLE, -1), *owing]


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
