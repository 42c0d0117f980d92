"""A member's statement and lots, page by page in the order of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from services.ledger.domain.events import PointsEarned, PointsGranted
from services.ledger.history import Recorded
from services.ledger.store.lots import load_lots
from services.ledger.views import story
from services.ledger.views.past import Past, fold
from services.ledger.wire import NAMES
from services.runtime.clock import rfc3339
from services.runtime.database import Connection

_EARNED = ["points.earned", "points.granted"]
_NAMED = ("purchase", "redemption", "hold", "adjustment", "lot")  # what an event may name


@dataclass(frozen=True, slots=True)
class Slice:
    """A page of a list, and the place in the member's story to go on from; None at the end."""

    items: Sequence[dict[str, object]]
    next: int | None


def entries(
    connection: Connection,
    member: str,
    *,
    after: int,
    limit: int,
    moment: story.Moment,
    unit: str | None = None,
) -> Slice:
    """The statement; all its changes sum to the balance, unless a lot has just ended unnoticed."""
    wanted = (
        (version, entry(recorded))
        for version, recorded in story.read(connection, member, after=after, moment=moment)
        if unit in (None, getattr(recorded.event, "unit", None))
    )
    return _slice(list(islice(wanted, limit + 1)), limit)


def lots(
    connection: Connection,
    member: str,
    *,
    after: int,
    limit: int,
    moment: story.Moment,
    now: datetime,
) -> Slice:
    """Every lot that the member had earned, spent and ended ones too."""
    is_now = moment.at >= now and moment.known_at >= now
    then = None if is_now else moment
    earned = story.read(connection, member, after=after, names=_EARNED, moment=then)
    page = list(islice(earned, limit + 1))
    if is_now:
        left = _left_now(connection, [recorded for _, recorded in page])
    else:
        left = _left_then(fold(connection, member, moment))
    lines = [(version, _lot(recorded, left, at=moment.at)) for version, recorded in page]
    return _slice(lines, limit)


@dataclass(slots=True)
class _Left:
    """What is left of a lot, and until when."""

    expires_at: datetime | None
    available: int = 0
    pending: int = 0
    held: int = 0

    def state(self, *, at: datetime) -> str:
        if self.pending:
            return "pending"
        if self.expires_at is not None and self.expires_at <= at:
            return "ended"
        return "open" if self.available or self.held else "spent"


def _left_now(connection: Connection, page: Sequence[Recorded]) -> dict[str, _Left]:
    """By lot, what is left of it."""
    names = [lot for each in page if (lot := getattr(each.event, "lot", None)) is not None]
    lots = (stored.lot for stored in load_lots(connection, names).values())
    return {
        lot.lot: _Left(lot.expires_at, lot.points_left, lot.points_pending, lot.points_held)
        for lot in lots
    }


def _left_then(past: Past) -> dict[str, _Left]:
    found = {lot: _Left(end) for lot, end in past.ends.items()}
    for (_, account, lot), points in past.points.items():
        if lot in found:
            setattr(found[lot], account.value, points)
    return found


def entry(recorded: Recorded) -> dict[str, object]:
    """An event of points as a line of the statement."""
    event = recorded.event
    line: dict[str, object] = {
        "id": recorded.event_id,
        "position": recorded.position,
        "type": NAMES[type(event)],
        "at": rfc3339(recorded.occurred_at),
        "known_at": rfc3339(recorded.recorded_at),
        "unit": getattr(event, "unit", None),
        "points": getattr(event, "points", None),
        "change": sum(posting.points for posting in story.movements(event)),
        "merchant": recorded.merchant,
    }
    named = {name: getattr(event, name, None) for name in _NAMED}
    named["return"] = getattr(event, "return_id", None)
    line |= {name: id_ for name, id_ in named.items() if id_ is not None}
    if isinstance(event, PointsEarned | PointsGranted):
        line["expires_at"] = None if event.expires_at is None else rfc3339(event.expires_at)
    return line


def _lot(recorded: Recorded, left: dict[str, _Left], *, at: datetime) -> dict[str, object]:
    earned = recorded.event
    assert isinstance(earned, PointsEarned | PointsGranted)
    # Of some that nothing was left of, nothing is known.
    lot = left.get(earned.lot) or _Left(earned.expires_at)
    state = lot.state(at=at)
    return {
        "lot": earned.lot,
        "entry": recorded.event_id,
        "unit": earned.unit,
        "points": earned.points,
        "available": 0 if state == "ended" else lot.available,
        "pending": lot.pending,
        "held": lot.held,
        "state": state,
        "merchant": recorded.merchant,
        **_came_by(earned),
        "expires_at": None if lot.expires_at is None else rfc3339(lot.expires_at),
    }


def _came_by(event: PointsEarned | PointsGranted) -> dict[str, object]:
    if isinstance(event, PointsGranted):
        at = rfc3339(event.granted_at)
        return {"adjustment": event.adjustment, "earned_at": at, "credit_at": None}
    return {
        "purchase": event.purchase,
        "programme": event.origin.programme,
        "version": event.origin.version,
        "rule": event.origin.rule,
        "earned_at": rfc3339(event.earned_at),
        "credit_at": None if event.credit_at is None else rfc3339(event.credit_at),
    }


def _slice(lines: list[tuple[int, dict[str, object]]], limit: int) -> Slice:
    """``lines`` holds one more than the page, if there is more."""
    page = lines[:limit]
    return Slice([line for _, line in page], page[-1][0] if len(lines) > limit else None)
