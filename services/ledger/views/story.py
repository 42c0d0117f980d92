"""A member's story, read from the log: what all views of a member have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.ledger import history
from services.ledger.domain.events import Event
from services.ledger.domain.postings import Account, Posting, postings
from services.ledger.history import Recorded
from services.ledger.wire import NAMES, PREFIX, SUFFIX, stream_of
from services.runtime.database import Connection

POINTS_EVENTS = tuple(name for name in NAMES.values() if name.startswith("points."))
AT_HAND = (Account.AVAILABLE, Account.OWED)
_PAGE_SIZE = 200
_PAGE = """
SELECT version, event FROM events
WHERE stream = :stream AND version > :after AND type IN ({types})
ORDER BY version LIMIT :limit
"""


_NEWEST = "SELECT coalesce(max(version), 0) FROM events WHERE stream = :stream"
_AT_VERSION = "SELECT event FROM events WHERE stream = :stream AND version = :version"


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was to be true, and when it was to be known."""

    at: datetime
    known_at: datetime

    def covers(self, recorded: Recorded) -> bool:
        """Whether an event had happened, and we knew it.

        What a till dated ahead of its recording counts from the recording on: its points can be
        spent at once, whatever the till's clock says.
        """
        return self.covers_times(recorded.occurred_at, recorded.recorded_at)

    def covers_times(self, occurred_at: datetime, recorded_at: datetime) -> bool:
        """The same, of an event's two times."""
        return recorded_at <= self.known_at and min(occurred_at, recorded_at) <= self.at


class _Times(msgspec.Struct):
    """Of an event only what decides whether a moment covers it: a fraction of reading it all."""

    time: datetime
    recordedat: datetime


_times = msgspec.json.Decoder(_Times).decode


def movements(event: Event) -> list[Posting]:
    """What an event does to what the member has at hand, or owes."""
    return [posting for posting in postings(event) if posting.account in AT_HAND]


def newest(connection: Connection, member: str) -> int:
    """How many events the member's story has."""
    [(version,)] = connection.rows(_NEWEST, {"stream": stream_of(member)})
    return int(version)


def recorded_until(connection: Connection, member: str, until: datetime, *, newest: int) -> int:
    """How many of them had been recorded by an instant: both grow together."""
    low, high = 0, newest
    while low < high:
        middle = (low + high + 1) // 2
        params = {"stream": stream_of(member), "version": middle}
        [(event,)] = connection.rows(_AT_VERSION, params)
        if _times(event).recordedat <= until:
            low = middle
        else:
            high = middle - 1
    return low


def is_known(connection: Connection, member: str) -> bool:
    """Whether anything was ever recorded of a member."""
    query = "SELECT 1 FROM events WHERE stream = :stream AND version = 1"
    return connection.row(query, {"stream": stream_of(member)}) is not None


def read(
    connection: Connection,
    member: str,
    *,
    after: int = 0,
    names: Sequence[str] = POINTS_EVENTS,
    moment: Moment | None = None,
) -> Iterator[tuple[int, Recorded]]:
    """The member's events of these names, each with its place in the story, from a place on.

    ``moment``: only those that it covers.
    """
    types = {f"type_{index}": PREFIX + name + SUFFIX for index, name in enumerate(names)}
    query = _PAGE.format(types=", ".join(f":{name}" for name in types))
    params = {"stream": stream_of(member), "limit": _PAGE_SIZE, **types}
    while page := connection.rows(query, {**params, "after": after}):
        for version, event in page:
            if moment is not None:
                times = _times(event)
                if not moment.covers_times(times.time, times.recordedat):
                    continue
            yield version, history.decode(bytes(event))
        after = page[-1][0]
