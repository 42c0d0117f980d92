"""Cards: a number leads to one member, and a blocked one leads nobody anywhere any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.ledger.domain.errors import BlockedCard, CardTaken, UnknownCard
from services.ledger.domain.events import CardBlocked, CardIssued


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A number that leads to a member; once it is blocked it stays so."""

    member: str
    is_blocked: bool


def assign(
    card: Card | None, *, number: str, member: str, is_blocked: bool | None, now: datetime
) -> CardIssued | CardBlocked | None:
    """Decide what a card is to be; None: it is that already. ``is_blocked`` None: as it is.

    Whatever the order in which they come, and however often, the same commands end the same way.

    Raises:
        CardTaken: the number leads to somebody else.
        BlockedCard: it is to be usable again, which no blocked number ever is.
    """
    if card is not None and card.member != member:
        raise CardTaken(f"card {number} leads to another member")
    was_blocked = card is not None and card.is_blocked
    if is_blocked:
        return None if was_blocked else CardBlocked(card=number, blocked_at=now)
    if was_blocked and is_blocked is False:
        raise BlockedCard(f"card {number} is blocked for good; issue a new one")
    return CardIssued(card=number, issued_at=now) if card is None else None


def holder(card: Card | None, *, number: str) -> str:
    """The member whom a card leads to.

    Raises:
        UnknownCard: the number was never issued.
        BlockedCard: it leads nowhere any more.
    """
    if card is None:
        raise UnknownCard(f"there is no card {number}")
    if card.is_blocked:
        raise BlockedCard(f"card {number} is blocked")
    return card.member
