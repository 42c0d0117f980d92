"""What the log may not say of claims and cards, going by what it has said before."""

from __future__ import annotations

from services.ledger.belongings import Belongings
from services.ledger.domain.events import CardBlocked, CardIssued, Event, PurchaseClaimed
from services.ledger.intake import key_of
from services.ledger.wire import Story


def contradiction(belongings: Belongings, event: Event, story: Story) -> str | None:
    """Why an event cannot have been recorded, if so: a second claim, a card of two members."""
    match event:
        case PurchaseClaimed(purchase=purchase):
            if belongings.claim(key_of(story.merchant, "purchase", purchase)) is not None:
                return f"purchase {purchase} was claimed before"
        case CardIssued(card=number) | CardBlocked(card=number):
            before = belongings.card(number)
            is_blocked = isinstance(event, CardBlocked)
            if before is not None and (
                before.card.member != story.member or before.card.is_blocked or not is_blocked
            ):
                return f"card {number} leads elsewhere, or is blocked"
        case _:
            pass
    return None
