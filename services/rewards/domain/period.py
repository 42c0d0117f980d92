"""How long points live: ISO 8601 durations, counted on the calendar of a time zone."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_ISO_8601 = re.compile(
    r"P(?=.)(?:(\d{1,5})Y)?(?:(\d{1,5})M)?(?:(\d{1,5})W)?(?:(\d{1,5})D)?"
    r"(?:T(?=.)(?:(\d{1,5})H)?(?:(\d{1,5})M)?(?:(\d{1,5})S)?)?",
    re.ASCII,
)
_MONTHS_PER_YEAR = 12
_DAYS_PER_WEEK = 7
YEARS_MAX = 1_000
"""So that no purchase's points end after the last year that a clock can show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A length of time: whole months and days of the calendar, then seconds of the clock."""

    months: int = 0
    days: int = 0
    seconds: int = 0


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


def _month_later(local: datetime, months: int) -> datetime:
    """The hands of the clock, so many months later."""
    years, month_index = divmod(local.month - 1 + months, _MONTHS_PER_YEAR)
    year, month = local.year + years, month_index + 1
    day = min(local.day, monthrange(year, month)[1])
    return local.replace(year=year, month=month, day=day, tzinfo=None)
