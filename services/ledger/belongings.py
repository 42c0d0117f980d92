"""Whose is what, as one batch knows it: claimed purchases and cards, read once, written at the end.

Both follow from the log alone: `note` takes in any event, also one that is read again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from services.ledger.domain.cards import Card
from services.ledger.domain.events import CardBlocked, CardIssued, Event, PurchaseClaimed
from services.ledger.intake import key_of
from services.ledger.store.belongings import (
    Claim,
    StoredCard,
    load_cards,
    load_claims,
    save_cards,
    save_claims,
)
from services.ledger.wire import Story
from services.runtime.database import Connection


class Belongings:
    """What a batch has read of claims and cards, and what it changes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cards: dict[str, StoredCard | None] = {}
        self._claims: dict[bytes, Claim | None] = {}
        self._cards_changed: dict[str, StoredCard] = {}
        self._claims_new: dict[bytes, Claim] = {}

    def fetch(self, *, cards: Iterable[str], purchases: Iterable[bytes]) -> None:
        """Know these cards and claims, also that there is none."""
        numbers = [number for number in set(cards) if number not in self._cards]
        self._cards |= dict.fromkeys(numbers)
        self._cards |= load_cards(self._connection, numbers)
        keys = [key for key in set(purchases) if key not in self._claims]
        self._claims |= dict.fromkeys(keys)
        self._claims |= load_claims(self._connection, keys)

    def card(self, number: str) -> StoredCard | None:
        """A card as it is now."""
        if number not in self._cards:
            self.fetch(cards=[number], purchases=())
        return self._cards[number]

    def claim(self, purchase: bytes) -> Claim | None:
        """Who claimed a purchase, by the purchase's command."""
        if purchase not in self._claims:
            self.fetch(cards=(), purchases=[purchase])
        return self._claims[purchase]

    def note(self, event: Event, story: Story, position: int) -> None:
        """Take in what an event says of claims and cards, if it does."""
        match event:
            case PurchaseClaimed(purchase=purchase):
                assert story.member is not None, "a claim has a member"
                key = key_of(story.merchant, "purchase", purchase)
                self._claims[key] = self._claims_new[key] = Claim(story.member, position)
            case CardIssued(card=number):
                self._change(number, story, position, blocked_position=None)
            case CardBlocked(card=number):
                self._change(number, story, position, blocked_position=position)
            case _:
                pass

    def write(self) -> None:
        """Put everything down."""
        if self._cards_changed:
            save_cards(self._connection, self._cards_changed)
        if self._claims_new:
            save_claims(self._connection, self._claims_new.items())

    def _change(
        self, number: str, story: Story, position: int, *, blocked_position: int | None
    ) -> None:
        assert story.member is not None, "a card leads to a member"
        card = Card(member=story.member, is_blocked=blocked_position is not None)
        before = self.card(number)
        stored = StoredCard(card=card, position=position, blocked_position=blocked_position)
        if before is not None:
            stored = replace(stored, position=before.position)
        self._cards[number] = self._cards_changed[number] = stored
