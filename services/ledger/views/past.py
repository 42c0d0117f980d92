"""What a member had at another moment: the events that had happened and were known, added up."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from services.ledger.domain.events import Event, PointsEarned
from services.ledger.domain.postings import Account
from services.ledger.views import story
from services.runtime.database import Connection


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
        if isinstance(event, PointsEarned):
            self.ends[event.lot] = event.expires_at
        for posting in story.movements(event):
            unit: str = event.unit  # type: ignore[union-attr]  # what moves points has a unit
            self.points[unit, posting.account, posting.lot] += posting.points


def fold(connection: Connection, member: str, moment: story.Moment) -> Past:
    """From the log: everything that had happened by then and was known by then."""
    past = Past()
    for _, recorded in story.read(connection, member, moment=moment):
        past.follow(recorded.event)
    return past
