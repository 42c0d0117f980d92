"""The use cases of cards: a number is to lead to a member, and stands for him in other commands."""

from __future__ import annotations

from msgspec.structs import replace

from services.ledger.books import Books
from services.ledger.domain import cards
from services.ledger.intake import Command
from services.ledger.store.outcomes import Outcome
from services.ledger.wire import Story


def put_card(books: Books, command: Command) -> Outcome:
    number, member = command.about, command.data["member"]
    is_blocked = command.data.get("blocked")
    before = books.belongings.card(number)
    event = cards.assign(
        None if before is None else before.card,
        number=number,
        member=member,
        is_blocked=is_blocked,
        now=books.now,
    )
    if event is None:
        assert before is not None, "it is as it ought to be already"
        position = before.blocked_position if is_blocked else before.position
        return Outcome(command.fingerprint, "recorded", first_position=position or 0)
    story = Story(merchant=command.source, member=member, traceparent=command.traceparent)
    return books.record(story, [event], command.fingerprint)


def resolved(books: Books, command: Command) -> Command:
    """The command with its member, where a card stands for him; its content stays what was sent.

    Raises:
        UnknownCard: the number was never issued.
        BlockedCard: it leads nowhere any more.
    """
    number = command.data.get("card")
    if number is None:
        return command
    stored = books.belongings.card(number)
    member = cards.holder(None if stored is None else stored.card, number=number)
    return replace(command, data={**command.data, "member": member})


def member_of(books: Books, command: Command) -> str | None:
    """Whose story it belongs to, as far as is known before it is decided."""
    stored = books.belongings.card(command.data["card"]) if "card" in command.data else None
    member: str | None = command.data.get("member") if stored is None else stored.card.member
    return member
