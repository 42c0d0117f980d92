"""Balances: what a member can spend, or could have spent at another time.

A lot is worth nothing from its end on. What a return took and no lot could cover makes the balance
negative: it stands among what never ends.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from services.ledger.domain.postings import Account
from services.ledger.views import story
from services.ledger.views.past import Past, fold
from services.ledger.wire import stream_of
from services.runtime.clock import NEVER_US, micros, rfc3339
from services.runtime.database import Connection

# One statement, so that lots and debts are of the same instant.
_NOW = """
SELECT unit, 9223372036854775807 AS expires_at, NULL AS expires_text, -points AS points
FROM debts WHERE stream = :stream
UNION ALL
SELECT unit, expires_at, min(expires_text), CAST(sum(points_left) AS BIGINT)
FROM lots WHERE member = :member AND points_left > 0 AND expires_at > :at
GROUP BY unit, expires_at
"""
_SET_ASIDE = """
SELECT unit, CAST(sum(points_pending) AS BIGINT), CAST(sum(points_held) AS BIGINT)
FROM lots WHERE member = :member AND (points_pending > 0 OR points_held > 0)
GROUP BY unit
"""


@dataclass(slots=True)
class _Unit:
    """A member's points of one unit by their end, in microseconds."""

    points: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    texts: dict[int, str] = field(default_factory=dict)
    pending: int = 0
    held: int = 0

    def add(self, points: int, end: datetime | None, *, at: datetime) -> None:
        """Points of a lot, which are worth nothing from its end on."""
        if end is None:
            self.points[NEVER_US] += points
        elif at < end:
            self.points[micros(end)] += points
            text = rfc3339(end)
            self.texts[micros(end)] = min(text, self.texts.get(micros(end), text))


def balances(
    connection: Connection, member: str, *, moment: story.Moment, now: datetime
) -> list[dict[str, object]] | None:
    """A line for each unit that the member has had; None for a member never seen."""
    if moment.at >= now and moment.known_at >= now:
        units = _now(connection, member, at=moment.at)
    else:
        units = _then(connection, member, moment)
    if not units and not story.is_known(connection, member):
        return None
    return [_line(name, unit) for name, unit in sorted(units.items())]


def _now(connection: Connection, member: str, *, at: datetime) -> dict[str, _Unit]:
    """From the lots as they stand: all that is recorded is known and has happened."""
    params = {"stream": stream_of(member), "member": member, "at": micros(at)}
    units: defaultdict[str, _Unit] = defaultdict(_Unit)
    for name, end, text, points in connection.rows(_NOW, params):
        units[name].points[end] += points
        if text is not None:
            units[name].texts[end] = text
    for name, pending, held in connection.rows(_SET_ASIDE, {"member": member}):
        units[name].pending, units[name].held = pending, held
    return units


def _then(connection: Connection, member: str, moment: story.Moment) -> dict[str, _Unit]:
    """From the log: every movement that had happened by then and was known by then."""
    return _by_end(fold(connection, member, moment), at=moment.at)


def lines(past: Past, *, at: datetime) -> list[dict[str, object]]:
    """A line for each unit of which points had moved."""
    return [_line(name, unit) for name, unit in sorted(_by_end(past, at=at).items())]


def available(past: Past, unit: str, *, at: datetime) -> int:
    """What could be spent of a unit."""
    return sum(_by_end(past, at=at)[unit].points.values())


def _by_end(past: Past, *, at: datetime) -> defaultdict[str, _Unit]:
    units: defaultdict[str, _Unit] = defaultdict(_Unit)
    for (name, account, lot), points in past.points.items():
        if account is Account.PENDING:
            units[name].pending += points
            continue
        if account is Account.HELD:
            units[name].held += points
            continue
        # A return that was told late may have taken points of a lot that was earned only later:
        # without the lot they are missing like any debt.
        end = past.ends.get(lot) if lot is not None else None
        units[name].add(points, end, at=at)
    return units


def _line(name: str, unit: _Unit) -> dict[str, object]:
    return {
        "unit": name,
        "available": sum(unit.points.values()),
        "pending": unit.pending,
        "held": unit.held,
        "expiring": [
            {"points": points, "expires_at": unit.texts.get(end)}
            for end, points in sorted(unit.points.items())
            if points
        ],
    }
