"""The use case of adjustments: an operator puts a member's points right."""

from __future__ import annotations

from uuid import UUID

from services.ledger import readers
from services.ledger.books import Books
from services.ledger.domain import adjustments
from services.ledger.domain.events import (
    Event,
    PointsGranted,
)
from services.ledger.domain.parts import Actor
from services.ledger.intake import Command
from services.ledger.store.outcomes import Outcome
from services.ledger.wire import Story


def adjust(books: Books, command: Command) -> Outcome:
    """Grant points, or withdraw some."""
    data = command.data
    adjustments.check_limit(data["points"], limit=books.adjustment_limit)
    events = _granted(books, command) if data["direction"] == "credit" else _taken(books, command)
    story = Story(merchant=command.source, member=data["member"], traceparent=command.traceparent)
    return books.record(story, events, command.fingerprint)


def _granted(books: Books, command: Command) -> list[Event]:
    data = command.data
    granted = PointsGranted(
        adjustment=command.id,
        lot=str(UUID(bytes=command.key)),
        unit=data["unit"],
        points=data["points"],
        reason=data["reason"],
        by=_by(command),
        granted_at=books.now,
        expires_at=readers.instant_in(data, "expires_at"),
    )
    owed = books.points_owed(data["member"], data["unit"])
    return adjustments.grant(granted, points_owed=owed)


def _taken(books: Books, command: Command) -> list[Event]:
    data = command.data
    withdrawn = adjustments.withdraw(
        books.wallet(data["member"], data["unit"], data["points"]),
        adjustment=command.id,
        points=data["points"],
        reason=data["reason"],
        by=_by(command),
        now=books.now,
    )
    return [withdrawn]


def _by(command: Command) -> Actor:
    assert command.actor is not None, "intake asks for it"
    key, _, name = command.actor.partition(" ")
    return Actor(key=key, name=name or None)
