"""What the ledger records: facts, past tense, never changed.

Points are whole and greater than zero; the direction is in the event's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.ledger.domain.purchase import Part


@dataclass(frozen=True, slots=True)
class LotPoints:
    """Some points of one lot."""

    lot: str
    points: int  # > 0
    merchant: str | None = None  # who issued the lot, where it is not the event's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The rule that a movement of points follows, so that it can always be explained."""

    programme: str
    version: int
    rule: str
    arithmetic: Mapping[str, object]  # the rule's own sum, as rewards worked it out


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseRecorded:
    """Somebody bought something; every line is kept as the shop sent it."""

    purchase: str
    content: bytes  # canonical JSON object, as the shop sent it
    purchased_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnRecorded:
    """Lines of a purchase, or parts of them, came back."""

    purchase: str
    return_id: str
    content: bytes  # canonical JSON object, as the shop sent it
    returned_at: datetime
    purchased_at: datetime
    currency: str
    amount_minor: int  # the sum of the lines given back; shipping does not count


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseClaimed:
    """A stranger's purchase became a member's, less what had come back of it until then."""

    purchase: str
    content: bytes  # canonical JSON object, as the shop sent it: without a member
    recorded_at: datetime  # the purchase's
    returned: Mapping[str, Part]  # by line, the sum of all returns; SHIPPING for the shipping
    claimed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CardIssued:
    """A card's number leads to the member from now on."""

    card: str
    issued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CardBlocked:
    """Nobody buys or spends with this number from now on."""

    card: str
    blocked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsEarned:
    """A purchase added one lot of points."""

    lot: str
    unit: str
    points: int
    purchase: str
    earned_at: datetime
    expires_at: datetime | None  # exclusive: worthless from this instant on; None: never
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsRedeemed:
    """A member spent points."""

    redemption: str
    unit: str
    lots: tuple[LotPoints, ...]  # in the order of spending
    redeemed_at: datetime
    purchase: str | None = None
    card: str | None = None  # that stood for the member

    @property
    def points(self) -> int:
        """All points spent."""
        return sum(part.points for part in self.lots)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsRestored:
    """A redemption was reversed: the very lots have their points again, each with its own end."""

    redemption: str
    unit: str
    lots: tuple[LotPoints, ...]
    restored_at: datetime
    purchase: str | None = None
    redeemed_at: datetime | None = None  # None: told before this was said

    @property
    def points(self) -> int:
        """All points given back."""
        return sum(part.points for part in self.lots)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsTakenBack:
    """A return took back what the rule would not have given for what was kept."""

    purchase: str
    return_id: str
    lot: str  # the lot that the purchase had earned
    unit: str
    lots: tuple[LotPoints, ...]  # where the points were taken from
    owed: int  # >= 0: not covered by any lot, repaid by the next points
    returned_at: datetime
    origin: Origin

    @property
    def points(self) -> int:
        """All points taken back, those still owed included."""
        return self.owed + sum(part.points for part in self.lots)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsRepaid:
    """New or restored points went to what the member owed."""

    lot: str
    unit: str
    points: int
    repaid_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsExpired:
    """What was left of a lot ended with it."""

    lot: str
    unit: str
    points: int
    purchase: str
    expired_at: datetime  # the lot's end, whenever it was noticed


Event = (
    PurchaseRecorded
    | PurchaseClaimed
    | ReturnRecorded
    | CardIssued
    | CardBlocked
    | PointsEarned
    | PointsRedeemed
    | PointsRestored
    | PointsTakenBack
    | PointsRepaid
    | PointsExpired
)
