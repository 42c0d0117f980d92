"""What the ledger records: facts, past tense, never changed.

Points are whole and greater than zero; the direction is in the event's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.ledger.domain.parts import Actor, LotPoints, OfLots, Origin
from services.ledger.domain.purchase import Part
from services.ledger.domain.terms import STANDARD, Terms


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
    credit_at: datetime | None = None  # promised for then, pending till then; None: at hand at once
    terms: Terms = STANDARD


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsCredited:
    """A promise was kept: what was pending of a lot is at hand."""

    lot: str
    unit: str
    points: int
    purchase: str | None
    promised_at: datetime
    credited_at: datetime
    is_late: bool  # whether the promised instant had passed longer than the clock needs


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsRedeemed(OfLots):
    """A member spent points."""

    redemption: str
    unit: str
    redeemed_at: datetime
    purchase: str | None = None
    card: str | None = None  # that stood for the member


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsRestored(OfLots):
    """A redemption was reversed: the very lots have their points again, each with its own end."""

    redemption: str
    unit: str
    restored_at: datetime
    purchase: str | None = None
    redeemed_at: datetime | None = None  # None: told before this was said


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsTakenBack:
    """A return took back what the rule would not have given for what was kept."""

    purchase: str
    return_id: str
    lot: str  # the lot that the purchase had earned
    unit: str
    lots: tuple[LotPoints, ...]  # where points at hand were taken from
    owed: int  # >= 0: not covered by any lot, repaid by the next points
    returned_at: datetime
    origin: Origin
    pending: int = 0  # >= 0: of the purchase's own lot, before they were ever at hand

    @property
    def points(self) -> int:
        """All points taken back, those still owed included."""
        return self.pending + self.owed + sum(part.points for part in self.lots)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsWrittenOff:
    """What a return should have taken and was spent: nobody owes it any more."""

    purchase: str
    return_id: str
    lot: str  # the lot that the purchase had earned, whose terms forgive
    unit: str
    points: int
    written_off_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsRepaid:
    """New or restored points went to what the member owed."""

    lot: str
    unit: str
    points: int
    repaid_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsHeld(OfLots):
    """Points were set aside: they are spent by nobody else till captured or released."""

    hold: str
    unit: str
    held_at: datetime
    expires_at: datetime  # the hold's end: exclusive, released from then on


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsCaptured(OfLots):
    """Points that were set aside were spent."""

    hold: str
    unit: str
    captured_at: datetime
    purchase: str | None = None


class Release(StrEnum):
    """Why points are no longer set aside."""

    ASKED = "asked"
    CAPTURED_IN_PART = "captured-in-part"  # the rest of a hold
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsReleased(OfLots):
    """Points that were set aside lie in their lots again."""

    hold: str
    unit: str
    released_at: datetime
    reason: Release


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsExtended:
    """A lot ends later than it was to."""

    lot: str
    unit: str
    points: int  # what lies in it
    purchase: str | None
    was: datetime  # its end till now
    expires_at: datetime
    extended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsGranted:
    """An operator put points right: one lot more, which no purchase earned."""

    adjustment: str
    lot: str
    unit: str
    points: int
    reason: str
    by: Actor
    granted_at: datetime
    expires_at: datetime | None  # exclusive; None: never


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsWithdrawn(OfLots):
    """An operator put points right: some were taken, and not spent."""

    adjustment: str
    unit: str
    reason: str
    by: Actor
    withdrawn_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsExpired:
    """What was left of a lot ended with it."""

    lot: str
    unit: str
    points: int
    purchase: str | None
    expired_at: datetime  # the lot's end, whenever it was noticed


Event = (
    PurchaseRecorded
    | PurchaseClaimed
    | ReturnRecorded
    | CardIssued
    | CardBlocked
    | PointsEarned
    | PointsCredited
    | PointsRedeemed
    | PointsRestored
    | PointsHeld
    | PointsCaptured
    | PointsReleased
    | PointsTakenBack
    | PointsWrittenOff
    | PointsRepaid
    | PointsExtended
    | PointsGranted
    | PointsWithdrawn
    | PointsExpired
)
