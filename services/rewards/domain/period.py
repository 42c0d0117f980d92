"""Lengths of time: ISO 8601 durations, counted on the calendar of a time zone."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

_ISO_8601 = re.compile(
    r"P(?=.)(?:(\d{1,5})Y)?(?:(\d{1,5})M)?(?:(\d{1,5})W)?(?:(\d{1,5})D)?"
    r"(?:T(?=.)(?:(\d{1,5})H)?(?:(\d{1,5})M)?(?:(\d{1,5})S)?)?",
    re.ASCII,
)
_MONTHS_PER_YEAR = 12
_DAYS_PER_WEEK = 7
_DAY_S = 86_400
_CLOCKS_S = 3 * 3_600  # clocks are put forward or back by less than that
YEARS_MAX = 1_000
"""So that no purchase's points end after the last year that a clock can show."""


class Span(StrEnum):
    """A stretch of the calendar."""

    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


_MONTHS = {Span.MONTH: 1, Span.QUARTER: 3, Span.YEAR: 12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A length of time: whole months and days of the calendar, then seconds of the clock."""

    months: int = 0
    days: int = 0
    seconds: int = 0

    @property
    def stopwatch_s(self) -> int:
        """Its seconds when nobody looks at a calendar: a day is 24 hours. It has no months."""
        assert not self.months, "a month is no number of seconds"
        return self.days * _DAY_S + self.seconds


def parse_period(text: str) -> Period:
    """Read PnYnMnWnDTnHnMnS, each part a whole number, at least one of them, not nothing in all.

    Raises:
        ValueError: it is not that, is no time at all, or is longer than ``YEARS_MAX`` years.
    """
    match = _ISO_8601.fullmatch(text)
    if match is None:
        raise ValueError("is not an ISO 8601 duration of whole numbers, as P12M, P90D or P1Y6M")
    years, months, weeks, days, hours, minutes, seconds = (int(n or 0) for n in match.groups())
    period = Period(
        months=years * _MONTHS_PER_YEAR + months,
        days=weeks * _DAYS_PER_WEEK + days,
        seconds=(hours * 60 + minutes) * 60 + seconds,
    )
    if period == Period():
        raise ValueError("is no time at all")
    if period.months // _MONTHS_PER_YEAR + period.days // 365 > YEARS_MAX:
        raise ValueError(f"is longer than {YEARS_MAX} years")
    return period


def after(at: datetime, period: Period, zone: ZoneInfo) -> datetime:
    """The instant one period later, with the offset that ``zone`` has then.

    Months and days go by the calendar: the same local time of day, and a day that the month
    lacks becomes its last. A local time that the clocks skip counts as if they had not been put
    forward yet (02:30 becomes 03:30); one that they show twice is the first of the two. Both as
    RFC 5545 has it. Hours, minutes and seconds then pass as on a stop-watch.
    """
    local = at.astimezone(zone)
    if period.months or period.days:
        day = _month_later(local, period.months) + timedelta(days=period.days)
        local = day.replace(tzinfo=zone, fold=0)
    # Only UTC knows elapsed time: arithmetic on a local time moves the hands of the clock.
    return (local.astimezone(UTC) + timedelta(seconds=period.seconds)).astimezone(zone)


def end_of(span: Span, at: datetime, zone: ZoneInfo) -> datetime:
    """The instant at which the next month, quarter or year begins in ``zone``: later than ``at``.

    Where the clocks skip that midnight, it is the instant at which they do. Where they show it
    twice, it is the first one, or the second for what happened between the two.
    """
    local = at.astimezone(zone)
    months = _MONTHS[span]
    first = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    begins = _month_later(first, months - (local.month - 1) % months)
    end = after(begins.replace(tzinfo=zone, fold=0), Period(), zone)
    is_between = end.astimezone(UTC) <= at
    return begins.replace(tzinfo=zone, fold=1) if is_between else end


def is_always_shorter(one: Period, other: Period) -> bool:
    """Whether the one is over before the other, whatever the instant that both are counted from.

    Careful, not exact: of two that come within hours or days of one another it may deny it.
    """
    if (one.months, one.days) == (other.months, other.days):
        return one.seconds < other.seconds
    days = _days_at_least(other.months - one.months) + other.days - one.days
    return days * _DAY_S + other.seconds - one.seconds > _CLOCKS_S


def _days_at_least(months: int) -> int:
    """So many months are no fewer days; below zero, minus the most days that they are."""
    years, rest = divmod(abs(months), _MONTHS_PER_YEAR)
    if months < 0:
        return -(years * 366 + rest * 31)
    return years * 365 + rest * 30 - (2 if rest else 0)


def _month_later(local: datetime, months: int) -> datetime:
    """The hands of the clock, so many months later."""
    years, month_index = divmod(local.month - 1 + months, _MONTHS_PER_YEAR)
    year, month = local.year + years, month_index + 1
    day = min(local.day, monthrange(year, month)[1])
    return local.replace(year=year, month=month, day=day, tzinfo=None)
