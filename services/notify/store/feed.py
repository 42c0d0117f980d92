"""How far topic ``ledger`` has been read, who is served from where, and landmarks for replays.

The projector moves a partition's row on in the transaction that queues its events. Whoever needs
to know exactly where it stands, to begin or to end there, locks that row: then either the page in
progress is committed and counted, or it has not begun and will see what was changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.notify.store import endpoints
from services.runtime.clock import NEVER_US, micros
from services.runtime.database import Connection, Database

JOINING = NEVER_US  # no offset is as large: until a replay has met the projector

_ADVANCE = """
UPDATE feed SET next_offset = :next_offset,
    last_position = CASE WHEN last_position < :position THEN :position ELSE last_position END
WHERE partition = :partition
"""
_LANDMARK = """
SELECT record_offset FROM landmarks
WHERE partition = :partition AND position <= :after AND recorded_at < :since
ORDER BY position DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the projector stands in one partition."""

    next_offset: int
    last_position: int
    end_offset: int  # of the topic, as last seen


@dataclass(frozen=True, slots=True)
class Landmark:
    """A place to begin reading from, instead of from the start."""

    partition: int
    position: int
    record_offset: int
    recorded_at: datetime


def prepare(database: Database, partitions: int) -> None:
    """Write down that there are so many partitions, before any of them is read."""
    with database.write() as connection:
        # Locked: an endpoint made in this instant must know all partitions, or be known to them.
        endpoints.lock_registry(connection)
        connection.execute_many(
            "INSERT INTO feed VALUES (:partition, 0, 0, 0) ON CONFLICT (partition) DO NOTHING",
            [{"partition": partition} for partition in range(partitions)],
        )


def places(connection: Connection) -> dict[int, Place]:
    """Where the projector stands, by partition; empty: it has never run."""
    found = connection.rows(
        "SELECT partition, next_offset, last_position, end_offset FROM feed ORDER BY partition"
    )
    return {partition: Place(*rest) for partition, *rest in found}


def locked_places(connection: Connection) -> dict[int, Place]:
    """The same, and it stays so until this transaction ends."""
    for partition in places(connection):
        locked_next_offset(connection, partition)
    return places(connection)


def locked_next_offset(connection: Connection, partition: int) -> int:
    """Where the projector stands in one partition, until this transaction ends."""
    connection.execute(
        "UPDATE feed SET next_offset = next_offset WHERE partition = :partition",
        {"partition": partition},
    )
    [(offset,)] = connection.rows(
        "SELECT next_offset FROM feed WHERE partition = :partition", {"partition": partition}
    )
    return int(offset)


def advance(connection: Connection, reached: Mapping[int, tuple[int, int]]) -> None:
    """Move on to (next offset, last position) in these partitions; locks their rows."""
    connection.execute_many(
        _ADVANCE,
        [
            {"partition": partition, "next_offset": offset, "position": position}
            for partition, (offset, position) in sorted(reached.items())
        ],
    )


def note_ends(database: Database, ends: Mapping[int, int]) -> None:
    """Write down where the topic ends, so that a new endpoint begins there and not before."""
    with database.write() as connection:
        connection.execute_many(
            "UPDATE feed SET end_offset = :end WHERE partition = :partition",
            [{"partition": partition, "end": end} for partition, end in sorted(ends.items())],
        )


def add_landmarks(connection: Connection, landmarks: Collection[Landmark]) -> None:
    """Remember places to begin from; one that is there already stays."""
    connection.upsert(
        "landmarks",
        ("partition", "position", "record_offset", "recorded_at"),
        [(m.partition, m.position, m.record_offset, micros(m.recorded_at)) for m in landmarks],
        key=("partition", "position"),
    )


def newest_landmarks(connection: Connection) -> dict[int, int]:
    """The offset of each partition's newest landmark."""
    found = connection.rows(
        "SELECT partition, max(record_offset) FROM landmarks GROUP BY partition"
    )
    return dict(found)


def start_offset(
    connection: Connection, partition: int, *, after: int, since: datetime | None
) -> int:
    """Where to begin reading for events after this position, recorded at ``since`` or later."""
    row = connection.row(
        _LANDMARK,
        {
            "partition": partition,
            "after": after if since is None else NEVER_US,
            "since": NEVER_US if since is None else micros(since),
        },
    )
    return int(row[0]) if row else 0


def position_before(connection: Connection, instant: datetime) -> int:
    """A position of which is known that it was recorded before; 0: none."""
    [(found,)] = connection.rows(
        "SELECT coalesce(max(position), 0) FROM landmarks WHERE recorded_at < :instant",
        {"instant": micros(instant)},
    )
    return int(found)


def save_joins(connection: Connection, endpoint: int, from_offsets: Mapping[int, int]) -> None:
    """Say from which offsets on the projector serves an endpoint."""
    connection.upsert(
        "joins",
        ("endpoint", "partition", "from_offset"),
        [(endpoint, partition, offset) for partition, offset in from_offsets.items()],
        key=("endpoint", "partition"),
    )


def joins(connection: Connection) -> dict[tuple[int, int], int]:
    """The offset from which each (endpoint, partition) is served by the projector."""
    found = connection.rows("SELECT endpoint, partition, from_offset FROM joins")
    return {(endpoint, partition): offset for endpoint, partition, offset in found}
