"""The auditor's reading of claims and cards: what the log says of them, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.ledger.domain.cards import Card
from services.ledger.domain.events import CardBlocked, CardIssued, PurchaseClaimed
from services.ledger.history import Recorded
from services.ledger.intake import key_of
from services.ledger.store.belongings import Claim, StoredCard, load_cards, load_claims
from services.runtime.database import Connection


@dataclass(slots=True)
class Owners:
    """What the log has said so far of who claimed what, and of cards."""

    claims: dict[bytes, Claim] = field(default_factory=dict)
    cards: dict[str, StoredCard] = field(default_factory=dict)

    def note(self, recorded: Recorded) -> str | None:
        """Take one event in; what is wrong with it."""
        event, member = recorded.event, recorded.member or ""
        match event:
            case PurchaseClaimed(purchase=purchase):
                key = key_of(recorded.merchant, "purchase", purchase)
                if key in self.claims:
                    return f"purchase {purchase} was claimed before"
                self.claims[key] = Claim(member, recorded.position)
            case CardIssued(card=number) | CardBlocked(card=number):
                before = self.cards.get(number)
                is_blocked = isinstance(event, CardBlocked)
                if before is not None and (
                    before.card.member != member or before.card.is_blocked or not is_blocked
                ):
                    return f"card {number} leads elsewhere, or is blocked"
                self.cards[number] = StoredCard(
                    card=Card(member=member, is_blocked=is_blocked),
                    position=recorded.position if before is None else before.position,
                    blocked_position=recorded.position if is_blocked else None,
                )
            case _:
                pass
        return None

    def differs(self, connection: Connection) -> str | None:
        """Where the tables say something else than the log."""
        if load_claims(connection, list(self.claims)) != self.claims:
            return "a claim is not kept as it was recorded"
        if load_cards(connection, list(self.cards)) != self.cards:
            return "a card is not kept as it was recorded"
        [(claims, cards)] = connection.rows(
            "SELECT (SELECT count(*) FROM claims), (SELECT count(*) FROM cards)"
        )
        if (claims, cards) != (len(self.claims), len(self.cards)):
            return "more claims or cards are kept than were recorded"
        return None
