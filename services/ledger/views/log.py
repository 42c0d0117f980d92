"""The log as others may read it: everything, one member's part, one merchant's part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from services.ledger.wire import PREFIX, SUFFIX, stream_of
from services.runtime.database import Connection

PAGE_BYTES_MAX = 8 << 20
TYPE_PATTERN = r"^(\*|[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)*(\.\*)?)$"
_ROWS_PER_READ = 64
_SCAN_MAX = 5_000  # positions that one page looks at in vain before it comes back
_HEAD = "SELECT position FROM log_head"
_OF_ALL = """
SELECT position, event FROM events
WHERE position > :after AND position <= :until {of_type}
ORDER BY position LIMIT :limit
"""
_OF_A_STREAM = """
SELECT version, position, event FROM events
WHERE stream = :stream AND version > :after {of_type} ORDER BY version LIMIT :limit
"""
_POSITION_OF = "SELECT position FROM events WHERE stream = :stream AND version = :version"
_NEWEST_VERSION = "SELECT coalesce(max(version), 0) FROM events WHERE stream = :stream"


@dataclass(frozen=True, slots=True)
class Query:
    """Which events somebody wants and may see."""

    type: str | None = None  # in full, or as endpoints name them: points.earned, points.*, *
    member: str | None = None
    merchant: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Events as stored, and the position to go on from; ``is_end``: there was no more."""

    events: list[bytes]
    next: int
    is_end: bool


class _Envelope(msgspec.Struct):
    merchant: str


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def page(connection: Connection, query: Query, *, after: int, limit: int) -> Page:
    """The next events after a position: up to ``limit``, 8 MiB, or as far as a page may look.

    It may come back with fewer, or none, before the end: ``next`` moves on all the same.
    """
    head = _number(connection, _HEAD)
    if query.member is None:
        until = min(head, after + _SCAN_MAX)
        rows = _of_all(connection, query, after=after, until=until)
    else:
        until = head
        rows = _of_member(connection, query, query.member, after=after)
    events: list[bytes] = []
    size_bytes = 0
    for position, event in rows:
        after = position
        if query.merchant in (None, _decode_envelope(event).merchant):
            events.append(event)
            size_bytes += len(event)
        if len(events) == limit or size_bytes >= PAGE_BYTES_MAX:
            return Page(events, after, is_end=after >= head)
    after = max(after, until)
    return Page(events, after, is_end=after >= head)


def _of_all(
    connection: Connection, query: Query, *, after: int, until: int
) -> Iterator[tuple[int, bytes]]:
    of_type, params = _type_filter(query.type)
    sql = _OF_ALL.format(of_type=of_type)
    params |= {"until": until, "limit": _ROWS_PER_READ}
    while rows := connection.rows(sql, {**params, "after": after}):
        for position, event in rows:
            yield position, bytes(event)
        after = rows[-1][0]


def _of_member(
    connection: Connection, query: Query, member: str, *, after: int
) -> Iterator[tuple[int, bytes]]:
    of_type, params = _type_filter(query.type)
    sql = _OF_A_STREAM.format(of_type=of_type)
    params |= {"stream": stream_of(member), "limit": _ROWS_PER_READ}
    version = _version_at(connection, stream_of(member), after)
    while rows := connection.rows(sql, {**params, "after": version}):
        for _, position, event in rows:
            yield position, bytes(event)
        version = rows[-1][0]


def _version_at(connection: Connection, stream: str, position: int) -> int:
    """How many events the stream has up to a position: both numbers grow together."""
    low, high = 0, _number(connection, _NEWEST_VERSION, stream=stream)
    while low < high:
        middle = (low + high + 1) // 2
        if _number(connection, _POSITION_OF, stream=stream, version=middle) <= position:
            low = middle
        else:
            high = middle - 1
    return low


def _type_filter(pattern: str | None) -> tuple[str, dict[str, object]]:
    if pattern is None or pattern == "*":
        return "", {}
    if pattern.endswith(".*"):
        # Types have no character that LIKE takes for something else.
        return "AND type LIKE :type", {"type": f"{PREFIX}{pattern[:-1]}%"}
    is_full = pattern.startswith(PREFIX)
    return "AND type = :type", {"type": pattern if is_full else PREFIX + pattern + SUFFIX}


def _number(connection: Connection, sql: str, **params: object) -> int:
    [(number,)] = connection.rows(sql, params)
    return int(number)
