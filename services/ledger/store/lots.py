"""Lots as rows: found by id, in the order of spending, or because their end has come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.ledger.domain.lot import Lot
from services.ledger.domain.terms import STANDARD, Shortfall, Terms
from services.runtime.clock import NEVER_US, from_micros, micros, parse_rfc3339, rfc3339
from services.runtime.database import Connection, Row

_LOT_COLUMNS = (
    "lot",
    "member",
    "unit",
    "points",
    "points_left",
    "points_pending",
    "points_held",
    "rank",
    "earned_at",
    "expires_at",
    "expires_text",
    "credit_at",
    "shortfall",
    "grace_s",
    "merchant",
    "purchase",
    "position",
    "touched",
)
_LOTS = f"SELECT {', '.join(_LOT_COLUMNS)} FROM lots"  # noqa: S608
_CHANGE = """
UPDATE lots SET points_left = :points_left, points_pending = :points_pending,
    points_held = :points_held, expires_at = :expires_at, expires_text = :expires_text,
    touched = :touched
WHERE lot = :lot
"""
_LOTS_BY_ID = f"{_LOTS} WHERE lot IN :keys"
_LOTS_TO_SPEND = (
    f"{_LOTS} WHERE member = :member AND unit = :unit AND points_left > 0 "
    "AND (rank, expires_at, earned_at, lot) > (:rank, :expires_at, :earned_at, :lot) "
    "ORDER BY rank, expires_at, earned_at, lot LIMIT :limit"
)
_LOTS_DUE = (
    f"{_LOTS} WHERE points_left > 0 AND expires_at < 9223372036854775807 "
    "AND expires_at <= :now ORDER BY expires_at LIMIT :limit"
)


_LOTS_PROMISED = (
    f"{_LOTS} WHERE points_pending > 0 AND credit_at <= :now ORDER BY credit_at LIMIT :limit"
)
_REFUSING = f"{_LOTS} WHERE merchant = :merchant AND purchase = :purchase AND shortfall = 'refuse'"


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
            "rank": after.lot.terms.rank if after else -1,
            "expires_at": _expires_us(after.lot) if after else 0,
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


def load_promised(connection: Connection, *, now: datetime, limit: int) -> list[StoredLot]:
    """Lots whose pending points are due, the earliest promises first."""
    rows = connection.rows(_LOTS_PROMISED, {"now": micros(now), "limit": limit})
    return [_stored_lot(row) for row in rows]


def load_refusing(connection: Connection, *, merchant: str, purchase: str) -> list[StoredLot]:
    """The lots of a purchase that takes no return once their points are spent."""
    params = {"merchant": merchant, "purchase": purchase}
    return [_stored_lot(row) for row in connection.rows(_REFUSING, params)]


def save_lots(
    connection: Connection,
    new: Iterable[StoredLot],
    changed: Iterable[StoredLot],
    entries: Sequence[tuple[str, int, int]],
) -> None:
    """``entries``: lot, position and signed points of every later movement."""
    connection.insert("lots", _LOT_COLUMNS, [_lot_row(stored) for stored in new])
    connection.execute_many(
        _CHANGE,
        [
            {
                "points_left": stored.lot.points_left,
                "points_pending": stored.lot.points_pending,
                "points_held": stored.lot.points_held,
                "expires_at": _expires_us(stored.lot),
                "expires_text": _expires_text(stored.lot),
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
    grace = lot.terms.grace
    is_standard = lot.terms.shortfall is Shortfall.OWE
    return (
        _key(lot.lot),
        stored.member,
        lot.unit,
        lot.points,
        lot.points_left,
        lot.points_pending,
        lot.points_held,
        lot.terms.rank,
        micros(lot.earned_at),
        _expires_us(lot),
        _expires_text(lot),
        None if lot.credit_at is None else micros(lot.credit_at),
        None if is_standard else lot.terms.shortfall.value,
        None if grace is None else int(grace.total_seconds()),
        lot.merchant,
        lot.purchase,
        stored.position,
        stored.touched,
    )


def _stored_lot(row: Row) -> StoredLot:
    named = dict(zip(_LOT_COLUMNS, row, strict=True))
    lot = Lot(
        lot=str(UUID(bytes=bytes(named["lot"]))),
        unit=named["unit"],
        points=named["points"],
        points_left=named["points_left"],
        points_pending=named["points_pending"],
        points_held=named["points_held"],
        earned_at=from_micros(named["earned_at"]),
        expires_at=_instant(named["expires_text"]),
        credit_at=None if named["credit_at"] is None else from_micros(named["credit_at"]),
        merchant=named["merchant"],
        purchase=named["purchase"],
        terms=_terms(named["rank"], named["shortfall"], named["grace_s"]),
    )
    return StoredLot(lot, named["member"], named["position"], named["touched"])


def _terms(rank: int, shortfall: str | None, grace_s: int | None) -> Terms:
    if not rank and shortfall is None and grace_s is None:
        return STANDARD
    return Terms(
        rank=rank,
        shortfall=Shortfall(shortfall or Shortfall.OWE),
        grace=None if grace_s is None else timedelta(seconds=grace_s),
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else parse_rfc3339(text)


def _expires_text(lot: Lot) -> str | None:
    return None if lot.expires_at is None else rfc3339(lot.expires_at)


def _expires_us(lot: Lot) -> int:
    return NEVER_US if lot.expires_at is None else micros(lot.expires_at)
