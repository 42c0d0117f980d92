"""The append-only log: gap-free positions, hash chain, Merkle tree, ``eventsourcing``'s interface.

The writer appends inside its own transaction with ``append``; ``insert_events`` and its siblings
are the library's recorder interface, so that whatever is built on it can read and write this log.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    Notification,
    StoredEvent,
    Subscription,
)

from services.runtime.checkpoints import Notary
from services.runtime.database import Conflict, Connection, Database, Row
from services.runtime.merkle import Edge
from services.runtime.tree import Tree

BELL = "events"
_COLUMNS = ("position", "stream", "version", "type", "event_id", "event", "chain")
_MOVE_HEAD = """
UPDATE log_head SET position = :position, chain = :chain
WHERE log = 'events' AND position = :old_position
"""
_NAMESPACE = UUID("6f1d5a0e-6c5b-5f0e-9a44-0f7f5f1c3f57").bytes
_PAGE_SIZE = 500
_POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the log: the newest position and the chain value there."""

    position: int = 0
    chain: bytes = b""
    edge: Edge | None = field(default=None, compare=False)  # of the tree; None: not read yet


class Entry(msgspec.Struct, frozen=True):
    """One event on its way into the log; its position is the head's plus one."""

    stream: str
    version: int
    type: str
    event_id: bytes
    event: bytes


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events a reader wants: all, or those of some types, or of one stream."""

    types: tuple[str, ...] = ()
    stream: str | None = None


EVERYTHING = Filter()


def event_id_at(shard: int, position: int) -> bytes:
    """The 16 bytes of the uuid5 that every event at this place has."""
    digest = bytearray(hashlib.sha1(_NAMESPACE + b"%d/%d" % (shard, position)).digest()[:16])  # noqa: S324
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


def chained(chain: bytes, event: bytes) -> bytes:
    """The chain value after one more event."""
    return hashlib.sha256(chain + event).digest()


class EventLog(ApplicationRecorder):
    """A log in one database; with a notary, every append signs a checkpoint."""

    def __init__(self, database: Database, notary: Notary | None = None) -> None:
        self.database = database
        self.tree = Tree(notary)

    def head(self, connection: Connection) -> Head:
        """The end of the log as this transaction sees it."""
        [(position, chain)] = connection.rows("SELECT position, chain FROM log_head")
        return Head(position, bytes(chain) if position else b"")

    def append(self, connection: Connection, head: Head, entries: Sequence[Entry]) -> Head:
        """Add entries after ``head``, in the caller's transaction; returns the new head.

        Raises:
            Conflict: the log does not end at ``head``, or a version of a stream exists already.
        """
        rows: list[Row] = []
        position, chain = head.position, head.chain
        for entry in entries:
            position += 1
            chain = hashlib.sha256(chain + entry.event).digest()
            rows.append(
                (
                    position,
                    entry.stream,
                    entry.version,
                    entry.type,
                    entry.event_id,
                    entry.event,
                    chain,
                )
            )
        moved = connection.execute(
            _MOVE_HEAD,
            {"position": position, "chain": chain, "old_position": head.position},
        )
        if not moved:
            raise Conflict(f"the log does not end at position {head.position}")
        edge = head.edge or self.tree.edge(connection, head.position)
        edge = self.tree.grow(connection, edge, (entry.event for entry in entries))
        connection.insert("events", _COLUMNS, rows)
        connection.ring(BELL)
        return Head(position, chain, edge)

    def page(
        self, connection: Connection, *, after: int, limit: int, only: Filter = EVERYTHING
    ) -> list[tuple[int, bytes]]:
        """Positions and bytes of the next events, in order."""
        wheres = ["position > :after"]
        params: dict[str, object] = {"after": after, "limit": limit}
        if only.stream is not None:
            wheres.append("stream = :stream")
            params["stream"] = only.stream
        for index, type_ in enumerate(only.types):
            params[f"type_{index}"] = type_
        if only.types:
            names = ", ".join(f":type_{index}" for index in range(len(only.types)))
            wheres.append(f"type IN ({names})")
        found = connection.rows(
            f"SELECT position, event FROM events WHERE {' AND '.join(wheres)} "  # noqa: S608
            "ORDER BY position LIMIT :limit",
            params,
        )
        return [(position, bytes(event)) for position, event in found]

    def find(self, connection: Connection, event_id: bytes) -> tuple[int, bytes] | None:
        """Position and bytes of one event."""
        row = connection.row(
            "SELECT position, event FROM events WHERE event_id = :id", {"id": event_id}
        )
        return (row[0], bytes(row[1])) if row else None

    def at(self, connection: Connection, positions: Sequence[int]) -> dict[int, bytes]:
        """The bytes of the events at these positions."""
        found = connection.pick(
            "SELECT position, event FROM events WHERE position IN :keys", positions
        )
        return {position: bytes(event) for position, event in found}

    # The library's interface.

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        **_options: Any,
    ) -> Sequence[int] | None:
        """Append in a transaction of its own; returns the positions."""
        if not stored_events:
            return None
        try:
            with self.database.write() as connection:
                # Changing the row, if only to itself, makes other appends wait for this one.
                connection.execute("UPDATE log_head SET position = position")
                head = self.head(connection)
                entries = [
                    Entry(
                        stream=str(stored.originator_id),
                        version=stored.originator_version,
                        type=stored.topic,
                        event_id=event_id_at(0, head.position + index),
                        event=stored.state,
                    )
                    for index, stored in enumerate(stored_events, start=1)
                ]
                new_head = self.append(connection, head, entries)
        except Conflict as error:
            raise IntegrityError(str(error)) from error
        return list(range(head.position + 1, new_head.position + 1))

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """One stream's events by version."""
        with self.database.read() as connection:
            found = connection.rows(
                "SELECT stream, version, type, event FROM events "  # noqa: S608
                "WHERE stream = :stream AND version > :gt AND version <= :lte "
                f"ORDER BY version {'DESC' if desc else 'ASC'} LIMIT :limit",
                {
                    "stream": str(originator_id),
                    "gt": -1 if gt is None else gt,
                    "lte": 2**62 if lte is None else lte,
                    "limit": 2**62 if limit is None else limit,
                },
            )
        return [
            StoredEvent(stream, version, topic, bytes(event))
            for stream, version, topic, event in found
        ]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """All events by position, from ``start`` to ``stop``."""
        first = 0 if start is None else start if inclusive_of_start else start + 1
        wanted = {f"topic_{index}": topic for index, topic in enumerate(topics)}
        of_topics = f"AND type IN ({', '.join(f':{n}' for n in wanted)})" if wanted else ""
        with self.database.read() as connection:
            found = connection.rows(
                "SELECT stream, version, type, event, position FROM events "  # noqa: S608
                f"WHERE position >= :first AND position <= :stop {of_topics} "
                "ORDER BY position LIMIT :limit",
                {
                    "first": first,
                    "stop": 2**62 if stop is None else stop,
                    "limit": limit,
                    **wanted,
                },
            )
        return [
            Notification(stream, version, topic, bytes(event), position)
            for stream, version, topic, event, position in found
        ]

    def max_notification_id(self) -> int | None:
        """The newest position; None while the log is empty."""
        with self.database.read() as connection:
            return self.head(connection).position or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[Any]:
        """Events as they are recorded; blocks at the end of the log."""
        return _LogSubscription(self, gt, topics)


class _LogSubscription(Subscription[EventLog]):
    """Pages of the log; waits for the bell when there is no more."""

    def __init__(self, recorder: EventLog, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder, gt, topics)
        self._rung = threading.Event()
        self._page: Iterable[Notification] = iter(())
        self._forget = recorder.database.listen(BELL, self._rung.set)

    def stop(self) -> None:
        """End the iteration, also one that waits."""
        if not self._has_been_stopped:
            self._forget()
        super().stop()
        self._rung.set()

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            for notification in self._page:
                self._last_notification_id = notification.id
                return notification
            self._rung.clear()
            found = self._recorder.select_notifications(
                self._last_notification_id or 0,
                _PAGE_SIZE,
                topics=self._topics,
                inclusive_of_start=False,
            )
            self._page = iter(found)
            if not found:
                self._rung.wait(timeout=_POLL_S)
        raise StopIteration
