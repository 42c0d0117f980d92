"""What a member had at another moment: the events that had happened and were known, added up.

A long story is not read from its beginning when the moment is nearer to its end: then what the
member has now is taken, and what had not happened, or was not known, is undone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from services.ledger.domain.events import (
    Event,
    PointsEarned,
    PointsExtended,
    PointsGranted,
)
from services.ledger.domain.postings import OF_LOTS, Account, postings
from services.ledger.store.lots import load_lots
from services.ledger.views import story
from services.ledger.wire import stream_of
from services.runtime.clock import parse_rfc3339
from services.runtime.database import Connection

LONG = 200  # entries from which on it is worth finding out where to begin
UNDOING = 1  # what it costs to undo an entry, where to follow one costs 1
# The search trusts that times of recording grow; it stays exact if a clock was put back by less.
_CLOCK_SET_BACK_MAX = timedelta(hours=1)
_LOTS_OPEN = """
SELECT lot, unit, points_left, points_pending, points_held, expires_text FROM lots
WHERE member = :member AND points_left > 0
UNION ALL
SELECT lot, unit, points_left, points_pending, points_held, expires_text FROM lots
WHERE member = :member AND (points_pending > 0 OR points_held > 0) AND points_left = 0
"""
_DEBTS = "SELECT unit, points FROM debts WHERE stream = :stream"
_OF_THE_MEMBER = OF_LOTS | {Account.OWED}


@dataclass(slots=True)
class Past:
    """What some events of a member's story come to."""

    ends: dict[str, datetime | None] = field(default_factory=dict)  # by lot; None: never
    # By unit, account and lot; what is owed lies in no lot.
    points: defaultdict[tuple[str, Account, str | None], int] = field(
        default_factory=lambda: defaultdict(int)
    )

    def follow(self, event: Event) -> None:
        """Add what an event did."""
        if isinstance(event, PointsEarned | PointsGranted | PointsExtended):
            self.ends[event.lot] = event.expires_at
        self._move(event, 1)

    def undo(self, event: Event) -> None:
        """Take away what an event did; newest first."""
        if isinstance(event, PointsEarned | PointsGranted):
            self.ends.pop(event.lot, None)
        if isinstance(event, PointsExtended):
            self.ends[event.lot] = event.was
        self._move(event, -1)

    def _move(self, event: Event, direction: int) -> None:
        for posting in postings(event):
            if posting.account not in _OF_THE_MEMBER:
                continue
            unit: str = event.unit  # type: ignore[union-attr]  # what moves points has a unit
            self.points[unit, posting.account, posting.lot] += direction * posting.points


def fold(connection: Connection, member: str, moment: story.Moment) -> Past:
    """Everything that had happened by then and was known by then."""
    newest = story.newest(connection, member)
    if newest > LONG:
        # Nothing happens before it is recorded, as `Moment` counts: up to here all is covered.
        until = min(moment.at, moment.known_at) - _CLOCK_SET_BACK_MAX
        certain = story.recorded_until(connection, member, until, newest=newest)
        if (newest - certain) * UNDOING < certain:
            return _unwound(connection, member, moment, after=certain)
    past = Past()
    for _, recorded in story.read(connection, member, moment=moment):
        past.follow(recorded.event)
    return past


def _unwound(connection: Connection, member: str, moment: story.Moment, *, after: int) -> Past:
    """From the present backwards, as far as anything may not be covered."""
    past = _present(connection, member)
    uncovered = [
        recorded.event
        for _, recorded in story.read(connection, member, after=after)
        if not moment.covers(recorded)
    ]
    for event in reversed(uncovered):
        past.undo(event)
    earned_since = {
        event.lot for event in uncovered if isinstance(event, PointsEarned | PointsGranted)
    }
    spent_since = [
        lot
        for (_, _, lot), points in past.points.items()
        if points and lot is not None and lot not in past.ends and lot not in earned_since
    ]
    past.ends |= _ends(connection, spent_since)
    return past


def _present(connection: Connection, member: str) -> Past:
    past = Past()
    for raw_lot, unit, left, pending, held, end in connection.rows(_LOTS_OPEN, {"member": member}):
        lot = str(UUID(bytes=bytes(raw_lot)))
        past.ends[lot] = None if end is None else parse_rfc3339(end)
        past.points[unit, Account.AVAILABLE, lot] = left
        past.points[unit, Account.PENDING, lot] = pending
        past.points[unit, Account.HELD, lot] = held
    for unit, owed in connection.rows(_DEBTS, {"stream": stream_of(member)}):
        past.points[unit, Account.OWED, None] = -owed
    return past


def _ends(connection: Connection, lots: Sequence[str]) -> dict[str, datetime | None]:
    return {lot: stored.lot.expires_at for lot, stored in load_lots(connection, lots).items()}
