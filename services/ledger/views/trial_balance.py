"""The trial balance: what stood on every account, at any minute, as far as was known by another.

It is added up from sums that the writer keeps: whole days of whole days, and of the two days that
an instant cuts, their minutes. So it costs the same whether a day had ten events or ten million.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from services.ledger.domain.postings import Account
from services.ledger.store.totals import MINUTE_US, MINUTES_A_DAY, minute_of
from services.ledger.views.story import Moment
from services.runtime.clock import from_micros
from services.runtime.database import Connection

_EVER = 2**40  # a day that never comes
_SUMS = """
SELECT unit, account, CAST(sum(points) AS BIGINT) FROM (
    SELECT unit, account, points FROM movements
    WHERE grain = 2 AND happened < :at_day AND recorded < :known_at_day
    UNION ALL
    SELECT unit, account, points FROM movements
    WHERE grain = 1 AND recorded >= :known_at_first AND recorded < :known_at
    AND happened < :at_day
    UNION ALL
    SELECT unit, account, points FROM movements
    WHERE grain = 0 AND happened >= :at_first AND happened < :at AND recorded < :known_at
) AS parts GROUP BY unit, account
"""


def counted(asked: datetime | None, *, now: datetime) -> datetime:
    """The instant that an answer is about: the beginning of the minute asked for, or now."""
    if asked is None or asked >= now:
        return now
    return from_micros(minute_of(asked) * MINUTE_US)


def trial_balance(
    connection: Connection, moment: Moment, *, now: datetime
) -> list[dict[str, object]]:
    """By unit, every account of the chart; what had happened, and was known, before the minutes."""
    params = {
        **_bounds("at", moment.at, now=now),
        **_bounds("known_at", moment.known_at, now=now),
    }
    sums: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for unit, account, points in connection.rows(_SUMS, params):
        sums[unit][account] = points
    return [
        {
            "unit": unit,
            "accounts": [
                {"account": account.value, "points": points.get(account, 0)} for account in Account
            ],
            "sum": sum(points.values()),
        }
        for unit, points in sorted(sums.items())
    ]


def _bounds(name: str, until: datetime, *, now: datetime) -> dict[str, int]:
    """The minute that does not count any more, its day, and the first minute of that day."""
    minute = _EVER * MINUTES_A_DAY if until >= now else minute_of(until)
    day = minute // MINUTES_A_DAY
    return {name: minute, f"{name}_day": day, f"{name}_first": day * MINUTES_A_DAY}
