"""Queueing for an endpoint.

A *line* is a row for everybody who has something to wait for: for an endpoint that wants order, a
member; else a single event. It names the first delivery that waits and when that is due, so that
taking the next ones costs the same whether ten or a million wait, and a member whose first
delivery fails blocks nobody else. Lines are locked by endpoint, then alphabetically.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.runtime.clock import micros
from services.runtime.database import Connection, Database, Row

BELL = "deliveries"  # rings when there may be something to send
_AT_ONCE_MAX = 1_000

_COLUMNS = (
    "endpoint",
    "position",
    "event",
    "type",
    "member",
    "line",
    "body",
    "state",
    "round",
    "tries",
    "queued_at",
    "first_try_at",
    "settled_at",
)
_STAND_IN_LINE = """
INSERT INTO lines VALUES (:line, :endpoint, :head, 0, :due_at)
ON CONFLICT (line) DO UPDATE SET
    is_retry = CASE WHEN excluded.head < lines.head THEN 0 ELSE lines.is_retry END,
    due_at = CASE WHEN excluded.head < lines.head THEN excluded.due_at ELSE lines.due_at END,
    head = CASE WHEN excluded.head < lines.head THEN excluded.head ELSE lines.head END
"""
_TO_PULL = """
SELECT line FROM lines WHERE endpoint = :endpoint AND is_retry = 1 AND due_at > :now
ORDER BY due_at LIMIT :limit
"""
_PULL = "UPDATE lines SET due_at = :now WHERE line = :line"


@dataclass(frozen=True, slots=True)
class Queued:
    """An event on its way to one endpoint."""

    endpoint: int
    position: int
    event: bytes  # 16 bytes of its id
    type: str  # short name
    member: str | None
    line: str  # line_of
    body: bytes

    def as_row(self, round_: int, now_us: int) -> Row:
        """Its row, waiting and untried."""
        return (
            self.endpoint,
            self.position,
            self.event,
            self.type,
            self.member,
            self.line,
            self.body,
            "waiting",
            round_,
            0,
            now_us,
            None,
            None,
        )


def line_of(endpoint: int, key: str) -> str:
    """The line of what has this key at an endpoint."""
    return f"{endpoint}/{key}"


def enqueue(connection: Connection, deliveries: Sequence[Queued], *, now: datetime) -> None:
    """Queue events for the first time."""
    now_us = micros(now)
    _stand_in_line(connection, deliveries, now_us)
    connection.insert("deliveries", _COLUMNS, [each.as_row(0, now_us) for each in deliveries])


def enqueue_again(
    connection: Connection, deliveries: Sequence[Queued], *, round_: int, now: datetime
) -> None:
    """Queue events that may have been queued before; their tries are counted anew."""
    now_us = micros(now)
    _stand_in_line(connection, deliveries, now_us)
    connection.upsert(
        "deliveries",
        _COLUMNS,
        [each.as_row(round_, now_us) for each in deliveries],
        key=("endpoint", "position"),
    )


def _stand_in_line(connection: Connection, deliveries: Iterable[Queued], now_us: int) -> None:
    heads: dict[str, Queued] = {}
    for each in deliveries:
        head = heads.setdefault(each.line, each)
        if each.position < head.position:
            heads[each.line] = each
    connection.execute_many(
        _STAND_IN_LINE,
        [
            {"line": line, "endpoint": head.endpoint, "head": head.position, "due_at": now_us}
            for line, head in sorted(heads.items(), key=_in_turn)
        ],
    )
    if heads:
        connection.ring(BELL)


def _in_turn(each: tuple[str, Queued]) -> tuple[int, str]:
    """By endpoint, then by line: everybody locks in this order, or two wait for each other."""
    line, head = each
    return head.endpoint, line


def pull_forward(database: Database, endpoint: int, *, now: datetime) -> None:
    """Try at once whatever waits for its next try, because the endpoint is well again."""
    params = {"endpoint": endpoint, "now": micros(now), "limit": _AT_ONCE_MAX}
    while True:
        with database.write() as connection:
            lines = [line for (line,) in connection.rows(_TO_PULL, params)]
            connection.execute_many(_PULL, [{**params, "line": line} for line in sorted(lines)])
            connection.ring(BELL)
        if len(lines) < _AT_ONCE_MAX:
            return
