"""Whose turn it is at an endpoint, and what came of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.notify.domain.retries import Again, Attempt, Delivered, GivenUp, Verdict
from services.runtime.clock import from_micros, micros
from services.runtime.database import Connection

ROWS_OF_A_LINE_MAX = 16

# The newest lines are asked for in turn with the oldest, so that what just happened does not wait
# behind a replay of years.
_DUE = """
SELECT l.line, d.position, d.event, d.body, d.round, d.tries, d.queued_at, d.first_try_at
FROM (
    SELECT line, head, due_at, coalesce((
        SELECT n.position FROM deliveries AS n
        WHERE n.line = lines.line AND n.state = 'waiting' AND n.position >= lines.head
        ORDER BY n.position LIMIT 1 OFFSET :rows_of_a_line
    ), 9223372036854775807) AS beyond
    FROM lines
    WHERE endpoint = :endpoint AND is_retry = :is_retry AND due_at <= :now
        AND NOT (line IN :keys)
    ORDER BY due_at {direction} LIMIT :limit
) AS l
JOIN deliveries AS d ON d.line = l.line AND d.state = 'waiting'
    AND d.position >= l.head AND d.position < l.beyond
ORDER BY l.due_at {direction}, l.line, d.position LIMIT :limit
"""
_OLDEST_DUE = _DUE.format(direction="ASC")
_NEWEST_DUE = _DUE.format(direction="DESC")
# (Two minima rather than EXISTS: each is one look into the index, whatever the planner thinks.)
_ENDPOINTS_DUE = """
SELECT number FROM endpoints
WHERE removed_at IS NULL AND state = 'active' AND (
    (SELECT min(due_at) FROM lines WHERE endpoint = number AND is_retry = 0) <= :now
    OR (SELECT min(due_at) FROM lines WHERE endpoint = number AND is_retry = 1) <= :now
)
"""
_HOLD_LINE = """
UPDATE lines SET due_at = coalesce(CAST(:due_at AS BIGINT), due_at), is_retry = :is_retry
WHERE line = :line
"""
_MOVE_LINES_UP = """
UPDATE lines SET head = coalesce((
    SELECT min(d.position) FROM deliveries AS d
    WHERE d.line = lines.line AND d.state = 'waiting'
), -1)
WHERE line IN :keys RETURNING head
"""
_END_LINES = """
DELETE FROM lines WHERE line IN :keys AND head = -1 RETURNING line
"""
_SETTLE = """
UPDATE deliveries SET state = '{state}', settled_at = :now, body = NULL
WHERE endpoint = :endpoint AND settled_at IS NULL AND round = :round AND position IN :keys
RETURNING position
"""
_DELIVERED = _SETTLE.format(state="delivered")
_FAILED = _SETTLE.format(state="failed")
_TRIED = """
UPDATE deliveries SET tries = tries + :counts, first_try_at = coalesce(first_try_at, :at)
WHERE endpoint = :endpoint AND position = :position AND round = :round
"""


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery whose turn has come, or will when those before it in its line are done."""

    line: str
    position: int
    event_id: str
    body: bytes
    round: int
    tries: int
    queued_at: datetime
    first_try_at: datetime | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt at one delivery."""

    due: Due
    attempt: Attempt
    verdict: Verdict


def endpoints_due(connection: Connection, *, now: datetime) -> set[int]:
    """The endpoints at which something is due."""
    return {number for (number,) in connection.rows(_ENDPOINTS_DUE, {"now": micros(now)})}


def due(  # noqa: PLR0913 - one question, six facts
    connection: Connection,
    endpoint: int,
    *,
    now: datetime,
    is_retry: bool,
    is_newest_first: bool,
    besides: Collection[str],
    limit: int,
) -> list[Due]:
    """The next deliveries, at most ``limit``, of lines other than those in hand.

    Of each line the first few, without a gap: the second may be sent when the first arrived.
    """
    found = connection.pick(
        _NEWEST_DUE if is_newest_first else _OLDEST_DUE,
        [*besides] or [""],
        {
            "endpoint": endpoint,
            "is_retry": int(is_retry),
            "now": micros(now),
            "rows_of_a_line": ROWS_OF_A_LINE_MAX,
            "limit": limit,
        },
    )
    return [
        Due(
            line=line,
            position=position,
            event_id=str(UUID(bytes=bytes(event))),
            body=bytes(body),
            round=round_,
            tries=tries,
            queued_at=from_micros(queued_at),
            first_try_at=None if first_try_at is None else from_micros(first_try_at),
        )
        for line, position, event, body, round_, tries, queued_at, first_try_at in found
    ]


def record(connection: Connection, endpoint: int, outcomes: Sequence[Outcome]) -> None:
    """Write down what came of attempts at one endpoint, and move its lines up."""
    _add_attempts(connection, endpoint, outcomes)
    until_us: dict[str, int | None] = {}
    settled: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for each in outcomes:
        until_us[each.due.line] = None
        match each.verdict:
            case Again(at=at):
                until_us[each.due.line] = micros(at)
            case Delivered():
                settled[_DELIVERED, each.due.round].append(each.due.position)
            case GivenUp():
                settled[_FAILED, each.due.round].append(each.due.position)
    # First of all the lines: whoever adds to one waits here, or has committed and is seen below.
    connection.execute_many(
        _HOLD_LINE,
        [
            {"line": line, "due_at": due_at, "is_retry": int(bool(due_at))}
            for line, due_at in sorted(until_us.items())
        ],
    )
    now_us = max(micros(each.attempt.at) for each in outcomes)
    for (statement, round_), positions in settled.items():
        params = {"endpoint": endpoint, "round": round_, "now": now_us}
        connection.pick(statement, positions, params)
    connection.execute_many(_TRIED, list(_tried(endpoint, outcomes)))
    connection.pick(_MOVE_LINES_UP, [*until_us])
    connection.pick(_END_LINES, [*until_us])


def _add_attempts(connection: Connection, endpoint: int, outcomes: Iterable[Outcome]) -> None:
    connection.insert(
        "attempts",
        ("endpoint", "position", "at", "latency_ms", "status", "error", "answer"),
        [
            (endpoint, position, micros(at.at), at.latency_ms, at.status, at.error, at.answer)
            for position, at in ((each.due.position, each.attempt) for each in outcomes)
        ],
    )


def _tried(endpoint: int, outcomes: Iterable[Outcome]) -> Iterable[Mapping[str, object]]:
    for each in outcomes:
        if isinstance(each.verdict, Again):
            yield {
                "endpoint": endpoint,
                "position": each.due.position,
                "round": each.due.round,
                "counts": int(not each.verdict.is_deferral),
                "at": micros(each.attempt.at),
            }
