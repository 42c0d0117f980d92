"""Whose is what: stranger's purchases that were claimed, and cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.ledger.domain.cards import Card
from services.runtime.database import Connection, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCard:
    """A card with its places in the log."""

    card: Card
    position: int  # of the event that first named it
    blocked_position: int | None


@dataclass(frozen=True, slots=True)
class Claim:
    """Who claimed a purchase, and where that stands."""

    member: str
    position: int


def load_cards(connection: Connection, numbers: Sequence[str]) -> dict[str, StoredCard]:
    """Those of these cards that exist."""
    found = connection.pick(
        "SELECT number, member, position, blocked_position FROM cards WHERE number IN :keys",
        numbers,
    )
    return {
        number: StoredCard(
            card=Card(member=member, is_blocked=blocked_position is not None),
            position=position,
            blocked_position=blocked_position,
        )
        for number, member, position, blocked_position in found
    }


def load_claims(connection: Connection, purchases: Sequence[bytes]) -> dict[bytes, Claim]:
    """The claims of these purchases, by the purchase's command."""
    found = connection.pick(
        "SELECT purchase, member, position FROM claims WHERE purchase IN :keys", purchases
    )
    return {bytes(purchase): Claim(member, position) for purchase, member, position in found}


def list_cards(
    connection: Connection, member: str, *, after: str, limit: int
) -> dict[str, StoredCard]:
    """A member's cards by number, blocked ones too."""
    found = connection.rows(
        "SELECT number FROM cards WHERE member = :member AND number > :after "
        "ORDER BY number LIMIT :limit",
        {"member": member, "after": after, "limit": limit},
    )
    cards = load_cards(connection, [number for (number,) in found])
    return {number: cards[number] for (number,) in found}


def save_cards(connection: Connection, cards: Mapping[str, StoredCard]) -> None:
    """New and changed cards."""
    rows: list[Row] = [
        (number, stored.card.member, stored.position, stored.blocked_position)
        for number, stored in cards.items()
    ]
    columns = ("number", "member", "position", "blocked_position")
    connection.upsert("cards", columns, rows, key=("number",))


def save_claims(connection: Connection, claims: Iterable[tuple[bytes, Claim]]) -> None:
    """By the purchase's command; a purchase is claimed once."""
    rows: list[Row] = [(purchase, claim.member, claim.position) for purchase, claim in claims]
    connection.insert("claims", ("purchase", "member", "position"), rows)
