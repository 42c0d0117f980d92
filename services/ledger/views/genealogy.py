"""Where points came from and where they went: back to purchases, on to all that they paid for.

Both ways are bounded: lots by a page of them and by the lines of their purchases, what became of
the points by a page of entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.ledger import history
from services.ledger.domain.events import (
    PointsEarned,
    PointsGranted,
    PointsWithdrawn,
)
from services.ledger.domain.parts import LotPoints, Origin
from services.ledger.history import Recorded
from services.ledger.store.lots import StoredLot, load_lots
from services.ledger.views.purchases import purchase
from services.ledger.views.statement import Slice, entry
from services.ledger.writers import by_data
from services.runtime.clock import rfc3339
from services.runtime.database import Connection
from services.runtime.eventlog import EventLog

SOURCES_MAX = 100
_LINES_MAX = 5_000
_LOTS_MAX = 1_000
_LOTS_OF = """
SELECT lot FROM lots WHERE purchase = :purchase AND merchant = :merchant
ORDER BY position LIMIT :limit
"""
_ENTRIES_OF = """
SELECT DISTINCT position FROM lot_entries WHERE lot IN :keys AND position > :after
"""
_CHANGES = "SELECT position, lot, points FROM lot_entries WHERE lot IN :keys"


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: a merchant is shown its own purchases only."""

    connection: Connection
    log: EventLog
    merchant: str | None

    def may_see(self, stored: StoredLot) -> bool:
        """Whether the purchase that earned a lot is the reader's to see."""
        return self.merchant in (None, stored.lot.merchant)


def sources(
    reader: Reader, parts: Sequence[LotPoints], *, after: int, limit: int
) -> tuple[list[dict[str, object]], int | None]:
    """The lots that some points came from, each with its purchase and rule; where to go on."""
    page = parts[after : after + min(limit, SOURCES_MAX)]
    stored = load_lots(reader.connection, [part.lot for part in page])
    earned = _earned(reader, [stored[part.lot] for part in page])
    lines: list[dict[str, object]] = []
    bought: dict[tuple[str, str], dict[str, object] | None] = {}
    purchase_lines = 0
    for part in page:
        if purchase_lines > _LINES_MAX:
            break
        lot = stored[part.lot]
        by = earned[lot.position]
        line = share(part, lot, entry_id=by.event_id, is_shown=reader.may_see(lot))
        if reader.may_see(lot) and isinstance(by.event, PointsGranted):
            line["adjustment"] = adjustment_of(by.event)
        elif reader.may_see(lot):
            line["rule"] = rule_of(_origin(by))
            at = (lot.lot.merchant, lot.lot.purchase or "")
            if at not in bought:
                bought[at] = purchase(
                    reader.connection, reader.log, merchant=at[0], purchase_id=at[1]
                )
                purchase_lines += _count_lines(bought[at])
            if bought[at] is not None:
                line["bought"] = bought[at]
        lines.append(line)
    reached = after + len(lines)
    return lines, reached if reached < len(parts) else None


def share(
    part: LotPoints, stored: StoredLot, *, entry_id: str, is_shown: bool
) -> dict[str, object]:
    """Some points of a lot, and the entry that earned it."""
    line: dict[str, object] = {
        "lot": part.lot,
        "points": part.points,
        "expires_at": _end(stored),
        "entry": entry_id,
    }
    if is_shown and stored.lot.purchase is not None:
        line["purchase"] = stored.lot.purchase
    return line


def adjustment_of(event: PointsGranted | PointsWithdrawn) -> dict[str, object]:
    """What an operator did, why, and with whose key."""
    return {"id": event.adjustment, "reason": event.reason, "by": by_data(event.by)}


def rule_of(origin: Origin) -> dict[str, object]:
    """The rule behind a movement, with its arithmetic."""
    return {
        "programme": origin.programme,
        "version": origin.version,
        "rule": origin.rule,
        "arithmetic": origin.arithmetic,
    }


def lots_of(reader: Reader, *, merchant: str, purchase_id: str) -> list[StoredLot]:
    """The lots that a purchase earned, in the order of earning."""
    params = {"purchase": purchase_id, "merchant": merchant, "limit": _LOTS_MAX}
    found = [str(UUID(bytes=bytes(lot))) for (lot,) in reader.connection.rows(_LOTS_OF, params)]
    stored = load_lots(reader.connection, found)
    return [stored[lot] for lot in found]


def earned_lots(
    reader: Reader, lots: Sequence[StoredLot], *, now: datetime
) -> list[dict[str, object]]:
    """Each with whose it is, what is left, and the rule that gave it."""
    earned = _earned(reader, lots)
    return [
        {
            "lot": stored.lot.lot,
            "entry": earned[stored.position].event_id,
            "member": stored.member,
            "unit": stored.lot.unit,
            "points": stored.lot.points,
            "available": stored.lot.points_available(at=now),
            "expires_at": _end(stored),
            "rule": rule_of(_origin(earned[stored.position])),
        }
        for stored in lots
    ]


def became(reader: Reader, lots: Sequence[StoredLot], *, after: int, limit: int) -> Slice:
    """Every entry that moved points of these lots after they were earned, in the log's order."""
    keys = [UUID(stored.lot.lot).bytes for stored in lots]
    moved = reader.connection.pick(_ENTRIES_OF, keys, {"after": after})
    positions = sorted({position for (position,) in moved})
    page = positions[:limit]
    changes: dict[int, list[dict[str, object]]] = {position: [] for position in page}
    for position, lot, points in reader.connection.pick(_CHANGES, keys):
        if position in changes:
            changes[position].append({"lot": str(UUID(bytes=bytes(lot))), "change": points})
    found = reader.log.at(reader.connection, page)
    items: list[dict[str, object]] = [
        {"entry": entry(history.decode(found[position])), "lots": changes[position]}
        for position in page
    ]
    return Slice(items, page[-1] if len(positions) > limit else None)


def _earned(reader: Reader, lots: Sequence[StoredLot]) -> dict[int, Recorded]:
    """By position, the events that earned these lots."""
    found = reader.log.at(reader.connection, [stored.position for stored in lots])
    return {position: history.decode(raw) for position, raw in found.items()}


def _origin(recorded: Recorded) -> Origin:
    assert isinstance(recorded.event, PointsEarned)
    return recorded.event.origin


def _end(stored: StoredLot) -> str | None:
    end = stored.lot.expires_at
    return None if end is None else rfc3339(end)


def _count_lines(bought: Mapping[str, object] | None) -> int:
    lines = bought["lines"] if bought else []
    assert isinstance(lines, list)
    return len(lines) + 1
