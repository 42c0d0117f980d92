"""Replays in their tables: what is to be sent again, and how far that has come.

An endpoint that begins in the past is served by a replay too, number 0. It has no end of its own:
in each partition it reads until it meets the projector, which serves the endpoint from there on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from services.notify.store import feed
from services.runtime.clock import from_micros, micros
from services.runtime.database import Connection, Row

BELL = "replays"
BEGINNING = 0  # the number of the replay that an endpoint begins with


class Scope(StrEnum):
    """Which events a replay sends."""

    ALL = "all"
    FAILED = "failed"  # given up, or still failing
    MISSING = "missing"  # never queued for the endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which events shall be sent again."""

    after: int = 0  # position
    since: datetime | None = None  # recorded then or later
    types: tuple[str, ...] | None = None  # None: those of the endpoint
    scope: Scope = Scope.ALL


@dataclass(frozen=True, slots=True)
class Replay:
    """Events on their way to be sent again."""

    endpoint: int
    number: int
    asked: Asked
    state: str  # running or done
    queued: int
    created_at: datetime
    finished_at: datetime | None
    records_read: int
    records_to_read: int  # of the topic, as far as is known


@dataclass(frozen=True, slots=True)
class Part:
    """A replay's place in one partition."""

    partition: int
    next_offset: int
    until_offset: int
    last_position: int


_COLUMNS = (
    "endpoint, number, after_position, since, types, scope, state, queued, created_at, finished_at"
)
_PART_COLUMNS = (
    "endpoint",
    "replay",
    "partition",
    "start_offset",
    "next_offset",
    "until_offset",
    "last_position",
    "is_done",
)
_READ = """
coalesce((SELECT sum(next_offset - start_offset) FROM replay_parts AS p
    WHERE p.endpoint = replays.endpoint AND p.replay = replays.number), 0),
coalesce((SELECT sum(CASE WHEN p.is_done = 1 THEN p.next_offset
        WHEN p.until_offset < 9223372036854775807 THEN p.until_offset
        WHEN f.next_offset > p.next_offset THEN f.next_offset ELSE p.next_offset END
        - p.start_offset)
    FROM replay_parts AS p JOIN feed AS f ON f.partition = p.partition
    WHERE p.endpoint = replays.endpoint AND p.replay = replays.number), 0)
"""
_OF_ENDPOINT = f"""
SELECT {_COLUMNS}, {_READ} FROM replays WHERE endpoint = :endpoint AND number > :after
ORDER BY number LIMIT :limit
"""  # noqa: S608
# One replay of an endpoint at a time, in the order in which they were asked for.
_RUNNING = f"""
SELECT {_COLUMNS}, 0, 0 FROM replays
WHERE state = 'running' AND NOT EXISTS (
    SELECT 1 FROM replays AS earlier WHERE earlier.state = 'running'
    AND earlier.endpoint = replays.endpoint AND earlier.number < replays.number
) ORDER BY endpoint
"""  # noqa: S608
_ADD = """
INSERT INTO replays VALUES (
    :endpoint, :number, :after, :since, :types, :scope, 'running', 0, :now, NULL
)
"""
_NEXT_NUMBER = "SELECT coalesce(max(number), 0) + 1 FROM replays WHERE endpoint = :endpoint"
_PARTS = """
SELECT partition, next_offset, until_offset, last_position FROM replay_parts
WHERE endpoint = :endpoint AND replay = :replay AND is_done = 0 ORDER BY partition
"""
_SAVE_PART = """
UPDATE replay_parts SET next_offset = :next_offset, last_position = :position, is_done = :is_done
WHERE endpoint = :endpoint AND replay = :replay AND partition = :partition
"""
_ADVANCE = """
UPDATE replays SET queued = queued + :queued
WHERE endpoint = :endpoint AND number = :replay AND state = 'running'
"""
_FINISH = """
UPDATE replays SET state = 'done', finished_at = :now
WHERE endpoint = :endpoint AND number = :replay AND NOT EXISTS (
    SELECT 1 FROM replay_parts AS p
    WHERE p.endpoint = replays.endpoint AND p.replay = replays.number AND p.is_done = 0
)
"""


def count_running(connection: Connection, endpoint: int) -> int:
    """How many of an endpoint's replays are unfinished."""
    [(count,)] = connection.rows(
        "SELECT count(*) FROM replays WHERE endpoint = :endpoint AND state = 'running'",
        {"endpoint": endpoint},
    )
    return int(count)


def next_number(connection: Connection, endpoint: int) -> int:
    """The number of the endpoint's next replay, counted from 1."""
    [(number,)] = connection.rows(_NEXT_NUMBER, {"endpoint": endpoint})
    return int(number)


def add(
    connection: Connection,
    key: tuple[int, int],
    asked: Asked,
    *,
    until_offsets: Mapping[int, int],
    now: datetime,
) -> None:
    """Begin a replay (endpoint, number), from the nearest landmarks up to these offsets."""
    endpoint, number = key
    since = None if asked.since is None else micros(asked.since)
    types = None if asked.types is None else msgspec.json.encode(asked.types).decode()
    connection.execute(
        _ADD,
        {
            "endpoint": endpoint,
            "number": number,
            "after": asked.after,
            "since": since,
            "types": types,
            "scope": asked.scope.value,
            "now": micros(now),
        },
    )
    parts = []
    for partition, until in sorted(until_offsets.items()):
        start = feed.start_offset(connection, partition, after=asked.after, since=asked.since)
        start = min(start, until)
        parts.append((endpoint, number, partition, start, start, until, 0, int(start == until)))
    connection.insert("replay_parts", _PART_COLUMNS, parts)
    connection.ring(BELL)


def of_endpoint(connection: Connection, endpoint: int, *, after: int, limit: int) -> list[Replay]:
    """An endpoint's replays, oldest first; ``after`` -1: from the first."""
    found = connection.rows(_OF_ENDPOINT, {"endpoint": endpoint, "after": after, "limit": limit})
    return [_replay(row) for row in found]


def running(connection: Connection) -> list[Replay]:
    """For each endpoint that has any, the replay that is to be read on now."""
    return [_replay(row) for row in connection.rows(_RUNNING)]


def parts(connection: Connection, replay: Replay) -> list[Part]:
    """Where it stands in the partitions that are not done."""
    found = connection.rows(_PARTS, {"endpoint": replay.endpoint, "replay": replay.number})
    return [Part(*row) for row in found]


def save(connection: Connection, replay: Replay, moved: Mapping[Part, bool], queued: int) -> bool:
    """Write down how far it came (each part, and whether it is done); False: it was removed."""
    key = {"endpoint": replay.endpoint, "replay": replay.number}
    if not connection.execute(_ADVANCE, {**key, "queued": queued}):
        return False
    connection.execute_many(
        _SAVE_PART,
        [
            {
                **key,
                "partition": part.partition,
                "next_offset": part.next_offset,
                "position": part.last_position,
                "is_done": int(is_done),
            }
            for part, is_done in moved.items()
        ],
    )
    return True


def finish_if_done(connection: Connection, replay: Replay, *, now: datetime) -> bool:
    """Mark it done when all its parts are."""
    key = {"endpoint": replay.endpoint, "replay": replay.number, "now": micros(now)}
    return bool(connection.execute(_FINISH, key))


def _replay(row: Row) -> Replay:
    endpoint, number, after, since, types, scope, state, queued, *times = row[:10]
    created_at, finished_at = times
    return Replay(
        endpoint=endpoint,
        number=number,
        asked=Asked(
            after=after,
            since=None if since is None else from_micros(since),
            types=None if types is None else tuple(msgspec.json.decode(types)),
            scope=Scope(scope),
        ),
        state=state,
        queued=queued,
        created_at=from_micros(created_at),
        finished_at=None if finished_at is None else from_micros(finished_at),
        records_read=int(row[10]),
        records_to_read=int(row[11]),
    )
