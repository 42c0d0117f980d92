"""The use cases of holds: points set aside, captured or released."""

from __future__ import annotations

from services.ledger.books import Books
from services.ledger.domain import holds
from services.ledger.domain.errors import (
    HoldHasEnded,
    HoldIsCaptured,
    HoldIsReleased,
    NothingToDo,
    UnknownHold,
)
from services.ledger.domain.events import PointsHeld, Release
from services.ledger.history import Recorded
from services.ledger.intake import Command, key_of
from services.ledger.store.holds import Hold, State
from services.ledger.store.outcomes import Outcome
from services.ledger.wire import Story
from services.runtime.clock import parse_rfc3339


def hold(books: Books, command: Command) -> Outcome:
    """Set points aside."""
    data = command.data
    event = holds.hold(
        books.wallet(data["member"], data["unit"], data["points"]),
        hold=command.id,
        points=data["points"],
        merchant=command.source,
        expires_at=parse_rfc3339(data["expires_at"]),
        now=books.now,
    )
    story = Story(merchant=command.source, member=data["member"], traceparent=command.traceparent)
    return books.record(story, [event], command.fingerprint)


def capture(books: Books, command: Command) -> Outcome:
    """Spend what was set aside, or a part of it."""
    found, recorded, held = _open_hold(books, command.source, command.id)
    events = holds.capture(
        held,
        books.lots.of(held.lots),
        points=command.data.get("points"),
        purchase=command.data.get("purchase"),
        points_owed=books.points_owed(found.member, held.unit),
        now=books.now,
    )
    return books.record(story_like(recorded, command), events, command.fingerprint)


def release(books: Books, command: Command) -> Outcome:
    """Give back what was set aside."""
    found, recorded, held = _open_hold(books, command.source, command.id)
    return _release(books, command, found, (recorded, held), Release.ASKED)


def end(books: Books, command: Command) -> Outcome:
    """The clock: a hold's end has come."""
    merchant, id_ = command.data["merchant"], command.data["hold"]
    found = books.set_aside.get(key_of(merchant, "hold", id_))
    if found is None or found.state is not State.OPEN or books.now < found.expires_at:
        raise NothingToDo(f"hold {id_} is not open, or has time left")
    _, recorded, held = _open_hold(books, merchant, id_)
    return _release(books, command, found, (recorded, held), Release.EXPIRED)


def story_like(recorded: Recorded, command: Command) -> Story:
    """The story that goes on: that of the event which a command follows up."""
    return Story(
        merchant=recorded.merchant, member=recorded.member, traceparent=command.traceparent
    )


def _release(
    books: Books,
    command: Command,
    found: Hold,
    held: tuple[Recorded, PointsHeld],
    reason: Release,
) -> Outcome:
    recorded, event = held
    events = holds.release(
        event,
        books.lots.of(event.lots),
        reason=reason,
        points_owed=books.points_owed(found.member, event.unit),
        now=books.now,
    )
    return books.record(story_like(recorded, command), events, command.fingerprint)


def _open_hold(books: Books, merchant: str, id_: str) -> tuple[Hold, Recorded, PointsHeld]:
    """What is set aside, and where that stands in the log.

    Raises:
        UnknownHold: no such hold was recorded.
        HoldIsCaptured, HoldIsReleased, HoldHasEnded: it is over.
    """
    found = books.set_aside.get(key_of(merchant, "hold", id_))
    if found is None:
        raise UnknownHold(f"no hold {id_} was recorded")
    match found.state:
        case State.CAPTURED:
            raise HoldIsCaptured(f"hold {id_} was captured")
        case State.RELEASED:
            raise HoldIsReleased(f"hold {id_} was released")
        case State.EXPIRED:
            raise HoldHasEnded(id_, "its end has come")
        case State.OPEN:
            pass
    recorded = books.event_at(found.position)
    assert isinstance(recorded.event, PointsHeld)
    return found, recorded, recorded.event
