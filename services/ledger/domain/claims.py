"""A stranger's purchase becomes a member's: once, and never another's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.ledger.domain.errors import AlreadyClaimed, NotAStrangers
from services.ledger.domain.events import PurchaseClaimed, PurchaseRecorded
from services.ledger.domain.purchase import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """What a claim has to know of a purchase."""

    recorded: PurchaseRecorded
    recorded_at: datetime
    bought_by: str | None  # None: a stranger
    claimed_by: str | None
    returned: Mapping[str, Part]  # by line, so far


def claim(sale: Sale, *, member: str, now: datetime) -> PurchaseClaimed | None:
    """Decide whose it is; None: it is the member's already.

    Raises:
        NotAStrangers: it was recorded with a member, were it the same one.
        AlreadyClaimed: it is another's.
    """
    purchase = sale.recorded.purchase
    if sale.bought_by is not None:
        raise NotAStrangers(f"purchase {purchase} was recorded with its member")
    if sale.claimed_by is None:
        return PurchaseClaimed(
            purchase=purchase,
            content=sale.recorded.content,
            recorded_at=sale.recorded_at,
            returned=sale.returned,
            claimed_at=now,
        )
    if sale.claimed_by != member:
        raise AlreadyClaimed(f"purchase {purchase} was claimed by another member")
    return None
