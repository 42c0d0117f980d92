"""A member's statement of one month: opening, entries, closing, and what ends next.

Its sums are checked against the ledger when it is made: with the entries against the balances at
both ends of the month, and with the whole story against the lots and debts that the writer keeps.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from services.ledger.domain.postings import Account
from services.ledger.history import Recorded
from services.ledger.views import balances, story
from services.ledger.views.past import Past
from services.ledger.views.statement import entry
from services.ledger.wire import stream_of
from services.runtime.clock import rfc3339
from services.runtime.database import Connection

ENTRIES_MAX = 10_000
ENDS_MAX = 12
_JUST = timedelta(microseconds=1)  # intervals are half-open: the last instant that belongs to one
_KEPT = """
SELECT unit, -points FROM debts WHERE stream = :stream
UNION ALL
SELECT unit, CAST(sum(points_left) AS BIGINT) FROM lots
WHERE member = :member AND points_left > 0 GROUP BY unit
"""


class SumsDiffer(Exception):
    """What was added up is not what the ledger keeps: nobody is to see such a page."""


class TooLong(Exception):
    """More entries than a statement holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A month in a time zone, half-open, and what is asked of it."""

    name: str  # YYYY-MM
    begins_at: datetime
    ends_at: datetime
    known_at: datetime  # the present of the statement

    @staticmethod
    def of(name: str, zone: ZoneInfo, *, known_at: datetime) -> Month:
        """The month of this name."""
        year, month = map(int, name.split("-"))
        following = (year + 1, 1) if month == 12 else (year, month + 1)  # noqa: PLR2004
        return Month(
            name=name,
            begins_at=datetime(year, month, 1, tzinfo=zone),
            ends_at=datetime(*following, 1, tzinfo=zone),
            known_at=known_at,
        )

    @property
    def is_over(self) -> bool:
        """Whether its last instant had passed."""
        return self.ends_at <= self.known_at

    @property
    def opening(self) -> story.Moment:
        """Just before it."""
        return story.Moment(self.begins_at - _JUST, self.known_at)

    @property
    def closing(self) -> story.Moment:
        """Its last instant, or the present."""
        at = self.ends_at - _JUST if self.is_over else self.known_at
        return story.Moment(at, self.known_at)


@dataclass(slots=True)
class _Read:
    """The member's story, once."""

    opening: Past
    closing: Past
    whole: Past
    entries: list[Recorded]


def statement(
    connection: Connection, member: str, month: Month, *, unit: str | None
) -> list[dict[str, object]]:
    """A section for each unit that the member has had by the end of the month.

    Raises:
        SumsDiffer: the ledger does not agree with itself.
        TooLong: the month has more than `ENTRIES_MAX` entries.
    """
    read = _read(connection, member, month)
    _check_kept(connection, member, read.whole)
    return [
        _section(month, str(line["unit"]), line, read)
        for line in balances.lines(read.closing, at=month.closing.at)
        if unit in (None, line["unit"])
    ]


def _read(connection: Connection, member: str, month: Month) -> _Read:
    read = _Read(Past(), Past(), Past(), [])
    for _, recorded in story.read(connection, member):
        read.whole.follow(recorded.event)
        if not month.closing.covers(recorded):
            continue
        read.closing.follow(recorded.event)
        if month.opening.covers(recorded):
            read.opening.follow(recorded.event)
        else:
            read.entries.append(recorded)
            if len(read.entries) > ENTRIES_MAX:
                raise TooLong(f"{month.name} has more than {ENTRIES_MAX} entries")
    return read


def _section(month: Month, unit: str, closing: dict[str, object], read: _Read) -> dict[str, object]:
    opening = balances.available(read.opening, unit, at=month.opening.at)
    entries = [entry(each) for each in read.entries if getattr(each.event, "unit", None) == unit]
    lapsed = _ended(read.closing, unit, at=month.closing.at)
    lapsed -= _ended(read.opening, unit, at=month.opening.at)
    change = sum(int(str(line["change"])) for line in entries)
    if opening + change - lapsed != closing["available"]:
        raise SumsDiffer(f"{unit}: {opening} + {change} - {lapsed} is not {closing['available']}")
    return {
        "unit": unit,
        "opening": opening,
        "entries": entries,
        "change": change,
        "lapsed": lapsed,
        "closing": closing["available"],
        "ends_next": _ends_next(closing["expiring"]),
    }


def _ended(past: Past, unit: str, *, at: datetime) -> int:
    """What the entries have left in lots that are worth nothing any more."""
    return sum(
        points
        for (name, account, lot), points in past.points.items()
        if name == unit and lot is not None and account is Account.AVAILABLE
        if _has_ended(past.ends.get(lot), at=at)
    )


def _has_ended(end: datetime | None, *, at: datetime) -> bool:
    return end is not None and end <= at


def _ends_next(expiring: object) -> Sequence[object]:
    assert isinstance(expiring, list)
    ending = [part for part in expiring if part["expires_at"] is not None and part["points"] > 0]
    return ending[:ENDS_MAX]


def _check_kept(connection: Connection, member: str, whole: Past) -> None:
    """The story as a whole comes to what the writer keeps of the member."""
    summed: Counter[str] = Counter()
    for (unit, account, _), points in whole.points.items():
        if account in story.AT_HAND:
            summed[unit] += points
    kept: defaultdict[str, int] = defaultdict(int)
    for unit, points in connection.rows(_KEPT, {"stream": stream_of(member), "member": member}):
        kept[unit] += points
    for unit in summed.keys() | kept.keys():
        if summed[unit] != kept[unit]:
            raise SumsDiffer(f"{unit}: entries sum to {summed[unit]}, {kept[unit]} are kept")


def document(member: str, zone: ZoneInfo, month: Month, units: object) -> dict[str, object]:
    """The statement as the contract has it."""
    return {
        "member": member,
        "month": month.name,
        "time_zone": zone.key,
        "begins_at": rfc3339(month.begins_at),
        "ends_at": rfc3339(month.ends_at),
        "is_over": month.is_over,
        "known_at": rfc3339(month.known_at),
        "units": units,
    }
