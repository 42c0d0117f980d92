"""What is queued takes its locks in the order in which everybody takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from services.notify.store import queue
from services.notify.store.queue import Queued
from services.runtime.database import Connection


class Noted:
    """A connection that notes in which order rows are touched."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def execute_many(self, _: str, rows: Sequence[Mapping[str, object]]) -> None:
        self.lines += [str(row["line"]) for row in rows]

    def ring(self, _: str) -> None:
        """Nobody hears it."""

    def insert(self, *_: Any) -> None:
        """Nothing is kept."""


def delivery(endpoint: int, member: str) -> Queued:
    return Queued(
        endpoint=endpoint,
        position=1,
        event=b"",
        type="points.earned",
        member=member,
        line=queue.line_of(endpoint, member),
        body=b"{}",
    )


def test_locks_lines_by_endpoint_and_not_by_its_first_digit() -> None:
    noted = Noted()
    deliveries = [delivery(endpoint, member) for endpoint in (10, 2) for member in ("9", "1130")]

    queue.enqueue(cast(Connection, noted), deliveries, now=datetime(2026, 1, 1, tzinfo=UTC))

    assert noted.lines == ["2/1130", "2/9", "10/1130", "10/9"]
