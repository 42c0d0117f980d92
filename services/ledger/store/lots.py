"""Lots as rows: found by id, in the order of spending, or because their end has come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.ledger.domain.account import Lot
from services.runtime.clock import NEVER_US, from_micros, micros, parse_rfc3339, rfc3339
from services.runtime.database import Connection, Row

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


@dataclass(frozen=True, slots=True)
class StoredLot:
    """A lot with its owner and its places in the log."""

    lot: Lot
    member: str
    position: int  # of the event that earned it
    touched: int  # of the newest event that moved its points


def load_lots(connection: Connection, lots: Sequence[str]) -> dict[str, StoredLot]:
    """These lots, as far as they exist."""
    rows = connection.pick(_LOTS_BY_ID, [_key(lot) for lot in lots])
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
            "lot": _key(after.lot.lot) if after else b"",
            "limit": limit,
        },
    )
    return [_stored_lot(row) for row in rows]


def load_due(connection: Connection, *, now: datetime, limit: int) -> list[StoredLot]:
    """Lots whose end has come while points are left, the earliest ends first."""
    rows = connection.rows(_LOTS_DUE, {"now": micros(now), "limit": limit})
    return [_stored_lot(row) for row in rows]


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
                "lot": _key(stored.lot.lot),
            }
            for stored in changed
        ],
    )
    connection.insert(
        "lot_entries",
        ("lot", "position", "points"),
        [(_key(lot), position, points) for lot, position, points in entries],
    )


def _key(lot: str) -> bytes:
    """The bytes of a lot's UUID; several times faster than by way of the class."""
    return bytes.fromhex(lot.replace("-", ""))


def _lot_row(stored: StoredLot) -> Row:
    lot = stored.lot
    return (
        _key(lot.lot),
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
