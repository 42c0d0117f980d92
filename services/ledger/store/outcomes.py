"""What became of every command, and the little that the writer keeps of every story."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from services.runtime.database import Connection, Row

OUTCOMES_BELL = "outcomes"  # rings when commands were decided
_OUTCOME_COLUMNS = (
    "command",
    "fingerprint",
    "outcome",
    "code",
    "detail",
    "first_position",
    "event_count",
)
_OUTCOMES = f"SELECT {', '.join(_OUTCOME_COLUMNS)} FROM outcomes WHERE command IN :keys"  # noqa: S608
_ACCOUNTS = """
WITH wanted(key) AS (:keys)
SELECT key, coalesce((SELECT max(version) FROM events WHERE stream = key), 0), unit, points
FROM wanted LEFT JOIN debts ON debts.stream = key
"""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one command."""

    fingerprint: bytes
    outcome: str  # recorded, declined, or accepted while a return waits
    code: str | None = None
    detail: str | None = None
    first_position: int = 0  # 0: it wrote no event
    event_count: int = 0  # 0 with a position: that event had made it so already

    @property
    def positions(self) -> list[int]:
        """Of the events that it wrote, or found written."""
        if self.first_position and not self.event_count:
            return [self.first_position]
        return list(range(self.first_position, self.first_position + self.event_count))


@dataclass(slots=True)
class Account:
    """What the writer keeps in memory of one story: bounded, however long the story is."""

    version: int
    owed: dict[str, int]  # by unit


def load_outcomes(connection: Connection, commands: Sequence[bytes]) -> dict[bytes, Outcome]:
    """What is known of these commands."""
    return {
        bytes(row[0]): Outcome(bytes(row[1]), *row[2:])
        for row in connection.pick(_OUTCOMES, commands)
    }


def load_accounts(connection: Connection, streams: Sequence[str]) -> dict[str, Account]:
    """Version and debts of these stories, in one read whatever their length."""
    accounts: dict[str, Account] = {}
    for stream, version, unit, points in connection.pick(_ACCOUNTS, streams):
        account = accounts.setdefault(stream, Account(version, {}))
        if unit is not None:
            account.owed[unit] = points
    return accounts


def save_outcomes(
    connection: Connection,
    new: Mapping[bytes, Outcome],
    changed: Mapping[bytes, Outcome],
) -> None:
    """``changed``: of returns that had been waiting."""
    connection.insert("outcomes", _OUTCOME_COLUMNS, _outcome_rows(new))
    if changed:
        connection.upsert("outcomes", _OUTCOME_COLUMNS, _outcome_rows(changed), key=("command",))


def save_debts(connection: Connection, owed: Mapping[tuple[str, str], int]) -> None:
    """By story and unit; a debt of 0 is kept, so that nothing is ever deleted here."""
    rows = [(stream, unit, points) for (stream, unit), points in owed.items()]
    connection.upsert("debts", ("stream", "unit", "points"), rows, key=("stream", "unit"))


def _outcome_rows(outcomes: Mapping[bytes, Outcome]) -> list[Row]:
    return [
        (
            command,
            outcome.fingerprint,
            outcome.outcome,
            outcome.code,
            outcome.detail,
            outcome.first_position,
            outcome.event_count,
        )
        for command, outcome in outcomes.items()
    ]
