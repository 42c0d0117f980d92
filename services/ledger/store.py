"""The ledger's tables as the writer sees them: read what a batch needs, write what it changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.ledger.domain.account import Lot
from services.ledger.domain.purchase import Part
from services.runtime.clock import NEVER_US, from_micros, micros, parse_rfc3339, rfc3339
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
_LOT_COLUMNS = (
    "lot",
    "member",
    "unit",
    "points",
    "points_left",
    "earned_at",
    "expires_at",
    "expires_text",
    "merchant",
    "purchase",
    "position",
    "touched",
)
_LOTS = f"SELECT {', '.join(_LOT_COLUMNS)} FROM lots"  # noqa: S608
_LOTS_BY_ID = f"{_LOTS} WHERE lot IN :keys"
_LOTS_TO_SPEND = (
    f"{_LOTS} WHERE member = :member AND unit = :unit AND points_left > 0 "
    "AND (expires_at, earned_at, lot) > (:expires_at, :earned_at, :lot) "
    "ORDER BY expires_at, earned_at, lot LIMIT :limit"
)
_LOTS_DUE = (
    f"{_LOTS} WHERE points_left > 0 AND expires_at < 9223372036854775807 "
    "AND expires_at <= :now ORDER BY expires_at LIMIT :limit"
)
_ACCOUNTS = """
WITH wanted(key) AS (:keys)
SELECT key, coalesce((SELECT max(version) FROM events WHERE stream = key), 0), unit, points
FROM wanted LEFT JOIN debts ON debts.stream = key
"""
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one command."""

    fingerprint: bytes
    outcome: str  # recorded, declined, or accepted while a return waits
    code: str | None = None
    detail: str | None = None
    first_position: int = 0  # 0: it wrote no event
    event_count: int = 0

    @property
    def positions(self) -> list[int]:
        """Of the events that it wrote."""
        return list(range(self.first_position, self.first_position + self.event_count))


@dataclass(frozen=True, slots=True)
class StoredLot:
    """A lot with its owner and its places in the log."""

    lot: Lot
    member: str
    position: int  # of the event that earned it
    touched: int  # of the newest event that moved its points


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


def load_lots(connection: Connection, lots: Sequence[str]) -> dict[str, StoredLot]:
    """These lots, as far as they exist."""
    rows = connection.pick(_LOTS_BY_ID, [UUID(lot).bytes for lot in lots])
    return {stored.lot.lot: stored for stored in map(_stored_lot, rows)}


def load_spendable(
    connection: Connection, member: str, unit: str, *, after: StoredLot | None, limit: int
) -> list[StoredLot]:
    """The next open lots in the order of spending."""
    rows = connection.rows(
        _LOTS_TO_SPEND,
        {
            "member": member,
            "unit": unit,
            "expires_at": _expires_us(after.lot) if after else -(2**63),
            "earned_at": micros(after.lot.earned_at) if after else 0,
            "lot": UUID(after.lot.lot).bytes if after else b"",
            "limit": limit,
        },
    )
    return [_stored_lot(row) for row in rows]


def load_due(connection: Connection, *, now: datetime, limit: int) -> list[StoredLot]:
    """Lots whose end has come while points are left, the earliest ends first."""
    rows = connection.rows(_LOTS_DUE, {"now": micros(now), "limit": limit})
    return [_stored_lot(row) for row in rows]


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


def list_waiting(
    connection: Connection, *, after: bytes = b"", limit: int, until: datetime | None = None
) -> list[WaitingReturn]:
    """Waiting returns by command; with ``until`` only those whose time is up."""
    rows = connection.rows(
        f"{_WAITING} WHERE command > :after AND until <= :until ORDER BY command LIMIT :limit",
        {
            "after": after,
            "until": NEVER_US if until is None else micros(until),
            "limit": limit,
        },
    )
    return [_waiting(row) for row in rows]


def save_outcomes(
    connection: Connection,
    new: Mapping[bytes, Outcome],
    changed: Mapping[bytes, Outcome],
) -> None:
    """``changed``: of returns that had been waiting."""
    connection.insert("outcomes", _OUTCOME_COLUMNS, _outcome_rows(new))
    if changed:
        connection.upsert("outcomes", _OUTCOME_COLUMNS, _outcome_rows(changed), key=("command",))


def save_lots(
    connection: Connection,
    new: Iterable[StoredLot],
    changed: Iterable[StoredLot],
    entries: Sequence[tuple[str, int, int]],
) -> None:
    """``entries``: lot, position and signed points of every later movement."""
    connection.insert("lots", _LOT_COLUMNS, [_lot_row(stored) for stored in new])
    connection.execute_many(
        "UPDATE lots SET points_left = :points_left, touched = :touched WHERE lot = :lot",
        [
            {
                "points_left": stored.lot.points_left,
                "touched": stored.touched,
                "lot": UUID(stored.lot.lot).bytes,
            }
            for stored in changed
        ],
    )
    connection.insert(
        "lot_entries",
        ("lot", "position", "points"),
        [(UUID(lot).bytes, position, points) for lot, position, points in entries],
    )


def save_debts(connection: Connection, owed: Mapping[tuple[str, str], int]) -> None:
    """By story and unit; a debt of 0 is kept, so that nothing is ever deleted here."""
    rows = [(stream, unit, points) for (stream, unit), points in owed.items()]
    connection.upsert("debts", ("stream", "unit", "points"), rows, key=("stream", "unit"))


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


def _lot_row(stored: StoredLot) -> Row:
    lot = stored.lot
    return (
        UUID(lot.lot).bytes,
        stored.member,
        lot.unit,
        lot.points,
        lot.points_left,
        micros(lot.earned_at),
        _expires_us(lot),
        None if lot.expires_at is None else rfc3339(lot.expires_at),
        lot.merchant,
        lot.purchase,
        stored.position,
        stored.touched,
    )


def _stored_lot(row: Row) -> StoredLot:
    lot = Lot(
        lot=str(UUID(bytes=bytes(row[0]))),
        unit=row[2],
        points=row[3],
        points_left=row[4],
        earned_at=from_micros(row[5]),
        expires_at=None if row[7] is None else parse_rfc3339(row[7]),
        merchant=row[8],
        purchase=row[9],
    )
    return StoredLot(lot, row[1], row[10], row[11])


def _expires_us(lot: Lot) -> int:
    return NEVER_US if lot.expires_at is None else micros(lot.expires_at)


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
