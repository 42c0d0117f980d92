"""What has come back of purchases, and returns that wait for theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.ledger.domain.purchase import Part
from services.runtime.clock import from_micros, micros
from services.runtime.database import Connection, Row

_WAITING_COLUMNS = (
    "command",
    "purchase",
    "merchant",
    "id",
    "content",
    "traceparent",
    "since",
    "until",
)
_WAITING = f"SELECT {', '.join(_WAITING_COLUMNS)} FROM waiting_returns"  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingReturn:
    """A return whose purchase has not arrived yet."""

    command: bytes
    purchase: bytes
    merchant: str
    id: str
    content: bytes
    traceparent: str | None
    since: datetime
    until: datetime


def load_returned(
    connection: Connection, purchases: Sequence[bytes]
) -> dict[bytes, dict[str, Part]]:
    """What has come back of these purchases, by line."""
    returned: dict[bytes, dict[str, Part]] = {}
    for purchase, line, quantity, amount_minor in connection.pick(
        "SELECT purchase, line, quantity, amount_minor FROM returned WHERE purchase IN :keys",
        purchases,
    ):
        returned.setdefault(bytes(purchase), {})[line] = Part(quantity, amount_minor)
    return returned


def load_waiting(connection: Connection, purchases: Sequence[bytes]) -> list[WaitingReturn]:
    """The returns that wait for one of these purchases, the longest waiting first."""
    rows = connection.pick(f"{_WAITING} WHERE purchase IN :keys", purchases)
    return sorted(map(_waiting, rows), key=lambda waiting: (waiting.since, waiting.id))


def list_waiting(connection: Connection, *, after: bytes = b"", limit: int) -> list[WaitingReturn]:
    """Waiting returns by command."""
    rows = connection.rows(
        f"{_WAITING} WHERE command > :after ORDER BY command LIMIT :limit",
        {"after": after, "limit": limit},
    )
    return [_waiting(row) for row in rows]


def load_lapsed(connection: Connection, *, now: datetime, limit: int) -> list[WaitingReturn]:
    """Returns that have waited long enough, the earliest first."""
    rows = connection.rows(
        f"{_WAITING} WHERE until <= :now ORDER BY until LIMIT :limit",
        {"now": micros(now), "limit": limit},
    )
    return [_waiting(row) for row in rows]


def save_returned(
    connection: Connection,
    returned: Mapping[tuple[bytes, str], Part],
    positions: Sequence[tuple[bytes, int]],
) -> None:
    """By purchase and line; and where each return of a purchase stands in the log."""
    connection.upsert(
        "returned",
        ("purchase", "line", "quantity", "amount_minor"),
        [
            (purchase, line, part.quantity, part.amount_minor)
            for (purchase, line), part in returned.items()
        ],
        key=("purchase", "line"),
    )
    connection.insert("purchase_returns", ("purchase", "position"), list(positions))


def save_waiting(
    connection: Connection, new: Iterable[WaitingReturn], ended: Sequence[bytes]
) -> None:
    """``ended``: commands that wait no longer."""
    rows: list[Row] = [
        (
            waiting.command,
            waiting.purchase,
            waiting.merchant,
            waiting.id,
            waiting.content,
            waiting.traceparent,
            micros(waiting.since),
            micros(waiting.until),
        )
        for waiting in new
    ]
    connection.insert("waiting_returns", _WAITING_COLUMNS, rows)
    connection.execute_many(
        "DELETE FROM waiting_returns WHERE command = :command",
        [{"command": command} for command in ended],
    )


def _waiting(row: Row) -> WaitingReturn:
    return WaitingReturn(
        command=bytes(row[0]),
        purchase=bytes(row[1]),
        merchant=row[2],
        id=row[3],
        content=bytes(row[4]),
        traceparent=row[5],
        since=from_micros(row[6]),
        until=from_micros(row[7]),
    )
