"""What the points of a lot paid for."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from services.ledger import history
from services.ledger.domain.events import (
    PointsCaptured,
    PointsRedeemed,
    PointsRestored,
)
from services.ledger.domain.parts import LotPoints
from services.ledger.history import Recorded
from services.runtime.clock import rfc3339
from services.runtime.database import Connection
from services.runtime.eventlog import EventLog

_Name = tuple[str, str, str]  # merchant, redemption or hold, and its id
_PAGE_SIZE = 500
_MOVED = """
SELECT position FROM lot_entries WHERE lot = :lot AND position > :after
ORDER BY position LIMIT :limit
"""


def spending(
    connection: Connection, log: EventLog, lot: str, *, after: int, limit: int
) -> tuple[list[dict[str, object]], int | None]:
    """The spending after a position that still stands, and where to go on, if there is more."""
    spent: dict[_Name, Recorded] = {}
    points: dict[_Name, int] = {}
    for recorded in _moves(connection, log, lot):
        event = recorded.event
        if isinstance(event, PointsRedeemed | PointsCaptured):
            spent[_name(recorded.merchant, event)] = recorded
            points[_name(recorded.merchant, event)] = _of(lot, event.lots)
        elif isinstance(event, PointsRestored):
            points[_name(recorded.merchant, event)] -= _of(lot, event.lots)
    lines = [
        (recorded.position, _line(recorded, points[name]))
        for name, recorded in spent.items()
        if points[name] and recorded.position > after
    ]
    page = lines[:limit]
    return [line for _, line in page], page[-1][0] if len(lines) > limit else None


def _name(merchant: str, event: PointsRedeemed | PointsCaptured | PointsRestored) -> _Name:
    if isinstance(event, PointsCaptured):
        return merchant, "hold", event.hold
    return merchant, "redemption", event.redemption


def _moves(connection: Connection, log: EventLog, lot: str) -> Iterator[Recorded]:
    """Everything that moved the lot's points after it was earned, in order."""
    after = 0
    params = {"lot": UUID(lot).bytes, "limit": _PAGE_SIZE}
    while page := connection.rows(_MOVED, {**params, "after": after}):
        found = log.at(connection, [position for (position,) in page])
        yield from (history.decode(found[position]) for position in sorted(found))
        after = page[-1][0]


def _line(recorded: Recorded, points: int) -> dict[str, object]:
    event = recorded.event
    assert isinstance(event, PointsRedeemed | PointsCaptured)
    _, kind, id_ = _name(recorded.merchant, event)
    line: dict[str, object] = {
        "entry": recorded.event_id,
        kind: id_,
        "merchant": recorded.merchant,
        "points": points,
        "at": rfc3339(recorded.occurred_at),
    }
    if event.purchase is not None:
        line["purchase"] = event.purchase
    return line


def _of(lot: str, parts: tuple[LotPoints, ...]) -> int:
    return sum(part.points for part in parts if part.lot == lot)
