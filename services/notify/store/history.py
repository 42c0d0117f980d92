"""What was sent: for people who ask, until it is old enough to be forgotten."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.notify.domain.retries import Attempt
from services.notify.store import feed
from services.runtime.clock import NEVER_US, from_micros, micros
from services.runtime.database import Connection, Database

_PRUNED_AT_ONCE_MAX = 1_000
_STRAGGLERS = timedelta(minutes=1)  # what was in hand when an endpoint was removed ends by then

_PAGE = """
SELECT d.position, d.event, d.type, d.member, d.state, l.due_at
FROM deliveries AS d
LEFT JOIN lines AS l ON l.line = d.line AND l.head = d.position
WHERE d.endpoint = :endpoint AND d.position > :after {of_state}
ORDER BY d.position LIMIT :limit
"""
_PAGES = {
    "waiting": _PAGE.format(of_state="AND d.state = 'waiting' AND d.state <> 'delivered'"),
    "failed": _PAGE.format(of_state="AND d.state = 'failed' AND d.state <> 'delivered'"),
    "delivered": _PAGE.format(of_state="AND d.state = 'delivered'"),
}
_PAGE_OF_ALL = _PAGE.format(of_state="")
_ATTEMPTS = """
SELECT position, at, latency_ms, status, error, answer
FROM attempts WHERE endpoint = :endpoint AND position IN :keys ORDER BY position, at
"""
_WAITING = """
SELECT count(*), min(queued_at), min(position)
FROM deliveries WHERE endpoint = :endpoint AND state = 'waiting' AND state <> 'delivered'
"""
_NEXT_DUE = "SELECT min(due_at) FROM lines WHERE endpoint = :endpoint AND is_retry = :is_retry"
# Rows go in runs of positions: (first to last of at most a thousand).
_OLD = {
    "attempts": "position <= :until AND at < :before",
    "deliveries": "position <= :until AND state <> 'waiting' AND settled_at < :before",
}
_OF_REMOVED = ("attempts", "deliveries")
_SMALL_TABLES = ("joins", "replay_parts", "replays")


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event and how it fared at one endpoint."""

    position: int
    event_id: str
    type: str
    member: str | None
    state: str
    attempts: tuple[Attempt, ...]
    next_try_at: datetime | None  # None: settled, or it waits for another of its line


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits at one endpoint."""

    events: int
    oldest_queued_at: datetime | None
    oldest_position: int | None
    next_try_at: datetime | None


def page(
    connection: Connection, endpoint: int, *, state: str | None, after: int, limit: int
) -> list[Delivery]:
    """Deliveries in the order of the log."""
    found = connection.rows(
        _PAGES[state] if state else _PAGE_OF_ALL,
        {"endpoint": endpoint, "after": after, "limit": limit},
    )
    attempts = _attempts(connection, endpoint, [row[0] for row in found])
    return [
        Delivery(
            position=position,
            event_id=str(UUID(bytes=bytes(event))),
            type=name,
            member=member,
            state=its_state,
            attempts=tuple(attempts[position]),
            next_try_at=None if due_at is None else from_micros(due_at),
        )
        for position, event, name, member, its_state, due_at in found
    ]


def _attempts(
    connection: Connection, endpoint: int, positions: list[int]
) -> Mapping[int, list[Attempt]]:
    found: defaultdict[int, list[Attempt]] = defaultdict(list)
    rows = connection.pick(_ATTEMPTS, positions, {"endpoint": endpoint})
    for position, at, latency_ms, status, error, answer in rows:
        found[position].append(
            Attempt(
                at=from_micros(at),
                latency_ms=latency_ms,
                status=status,
                error=error,
                answer=answer,
            )
        )
    return found


def states(connection: Connection, endpoint: int, positions: Sequence[int]) -> dict[int, str]:
    """What became of these events at this endpoint; a position is missing if it never saw it."""
    found = connection.pick(
        "SELECT position, state FROM deliveries WHERE endpoint = :endpoint AND position IN :keys",
        positions,
        {"endpoint": endpoint},
    )
    return dict(found)


def backlog(connection: Connection, endpoint: int) -> Backlog:
    """What waits, since when, and when the next of it is tried."""
    [(events, queued_at, position)] = connection.rows(_WAITING, {"endpoint": endpoint})
    due = [
        row[0]
        for is_retry in (0, 1)
        for row in connection.rows(_NEXT_DUE, {"endpoint": endpoint, "is_retry": is_retry})
        if row[0] is not None
    ]
    return Backlog(
        events=events,
        oldest_queued_at=None if queued_at is None else from_micros(queued_at),
        oldest_position=position,
        next_try_at=from_micros(min(due)) if due else None,
    )


def prune(database: Database, *, now: datetime, keep: timedelta) -> int:
    """Forget a bounded part of what is older than ``keep``, and of removed endpoints.

    Returns:
        How many rows went; 0: nothing is left to forget.
    """
    with database.read() as connection:
        until = feed.position_before(connection, now - keep)
        present = connection.rows("SELECT number FROM endpoints WHERE removed_at IS NULL")
        removed = connection.rows(
            "SELECT number FROM endpoints WHERE removed_at < :now AND forgotten_position < :never",
            {"now": micros(now - _STRAGGLERS), "never": NEVER_US},
        )
    rows = 0
    for (number,) in present if until else ():
        params = {"endpoint": number, "until": until, "before": micros(now - keep)}
        for table, condition in _OLD.items():
            rows += _prune_run(database, table, condition, params)
    for (number,) in removed:
        rows += _forget(database, number)
    return rows


def _prune_run(database: Database, table: str, condition: str, params: Mapping[str, object]) -> int:
    with database.write() as connection:
        found = connection.rows(
            f"SELECT position FROM {table} WHERE endpoint = :endpoint AND {condition} "  # noqa: S608
            "ORDER BY position LIMIT :limit",
            {**params, "limit": _PRUNED_AT_ONCE_MAX},
        )
        if not found:
            return 0
        run = {**params, "first": found[0][0], "last": found[-1][0]}
        rows = connection.execute(
            f"DELETE FROM {table} WHERE endpoint = :endpoint AND {condition} "  # noqa: S608
            "AND position BETWEEN :first AND :last",
            run,
        )
        if table == "deliveries":
            # Replays of what is missing begin after it: what is forgotten may have been delivered.
            connection.execute(
                "UPDATE endpoints SET forgotten_position = :last "
                "WHERE number = :endpoint AND forgotten_position < :last",
                run,
            )
    return rows


def _forget(database: Database, number: int) -> int:
    """A bounded part of a removed endpoint; the mark of its number stays."""
    params: dict[str, object] = {"endpoint": number}
    rows = sum(_prune_run(database, table, "position > 0", params) for table in _OF_REMOVED)
    with database.write() as connection:
        lines = connection.rows(
            "SELECT line FROM lines WHERE endpoint = :endpoint LIMIT :limit",
            {**params, "limit": _PRUNED_AT_ONCE_MAX},
        )
        connection.execute_many(
            "DELETE FROM lines WHERE line = :line",
            [{"line": line} for (line,) in sorted(lines)],
        )
        rows += len(lines)
        if not rows:
            for table in _SMALL_TABLES:
                connection.execute(f"DELETE FROM {table} WHERE endpoint = :endpoint", params)  # noqa: S608
            connection.execute(
                "UPDATE endpoints SET forgotten_position = :never, url = '' "
                "WHERE number = :endpoint",
                {**params, "never": NEVER_US},
            )
    return rows
