"""What merchants owe one another for a month: points that one issued and another took as payment.

A month holds what was recorded in it, UTC, and never changes once it is over. What was recorded in
it about an earlier month, such as a late purchase or the reversal of an earlier redemption, is part
of its sums and shown beside them as a correction of that month.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from services.ledger.store.totals import Settled, minute_of
from services.runtime.database import Connection, Row

Pair = tuple[str, str, str]  # issuer, redeemer, unit
FIRST: Pair = ("", "", "")
_WHOLE = "minute = -1"
_PART = "minute >= 0 AND minute < :until"
_OF_ONE = "AND (issuer = :merchant OR redeemer = :merchant)"
_PAIRS = """
SELECT DISTINCT issuer, redeemer, unit FROM settlements
WHERE month = :month AND {minutes} {of_one}
AND (issuer, redeemer, unit) > (:issuer, :redeemer, :unit)
ORDER BY issuer, redeemer, unit LIMIT :limit
"""
_SUMS = """
SELECT issuer, redeemer, unit, concerns, CAST(sum(issued) AS BIGINT),
    CAST(sum(redeemed) AS BIGINT), CAST(sum(reversed) AS BIGINT)
FROM settlements
WHERE month = :month AND {minutes} {of_one}
AND (issuer, redeemer, unit) > (:issuer, :redeemer, :unit)
AND (issuer, redeemer, unit) <= (:last_issuer, :last_redeemer, :last_unit)
GROUP BY issuer, redeemer, unit, concerns ORDER BY issuer, redeemer, unit, concerns
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which part of which month."""

    month: str  # YYYY-MM
    known_until: datetime | None  # None: all of it
    merchant: str | None  # None: everybody's


def settlements(
    connection: Connection, asked: Asked, *, after: Pair, limit: int
) -> tuple[list[dict[str, object]], Pair | None]:
    """A line for each pair and unit of which points moved, and the pair to go on from."""
    sql = {
        "minutes": _WHOLE if asked.known_until is None else _PART,
        "of_one": "" if asked.merchant is None else _OF_ONE,
    }
    params: dict[str, object] = {"month": asked.month}
    params |= dict(zip(("issuer", "redeemer", "unit"), after, strict=True))
    if asked.known_until is not None:
        params["until"] = minute_of(asked.known_until)
    if asked.merchant is not None:
        params["merchant"] = asked.merchant
    found = connection.rows(_PAIRS.format(**sql), {**params, "limit": limit + 1})
    pairs: list[Pair] = [(row[0], row[1], row[2]) for row in found]
    if not pairs:
        return [], None
    last = pairs[:limit][-1]
    params |= dict(zip(("last_issuer", "last_redeemer", "last_unit"), last, strict=True))
    rows = connection.rows(_SUMS.format(**sql), params)
    lines = [
        _line(issuer, redeemer, unit, list(parts), asked=asked)
        for (issuer, redeemer, unit), parts in groupby(rows, key=lambda row: row[:3])
    ]
    return lines, last if len(pairs) > limit else None


def _line(
    issuer: str, redeemer: str, unit: str, parts: Sequence[Row], *, asked: Asked
) -> dict[str, object]:
    of_month = {concerns: Settled(*sums) for _, _, _, concerns, *sums in parts}
    whole = Settled(
        sum(some.issued for some in of_month.values()),
        sum(some.redeemed for some in of_month.values()),
        sum(some.reversed for some in of_month.values()),
    )
    # How much somebody issues in all is not the business of whoever takes some of it.
    is_shown = asked.merchant in (None, issuer)
    is_owed = issuer != redeemer
    return {
        "issuer": issuer,
        "redeemer": redeemer,
        "unit": unit,
        **_sums(whole, is_shown=is_shown, is_owed=is_owed),
        "corrections": [
            {"month": month, **_sums(some, is_shown=is_shown, is_owed=is_owed)}
            for month, some in of_month.items()
            if month != asked.month
        ],
    }


def _sums(settled: Settled, *, is_shown: bool, is_owed: bool) -> dict[str, object]:
    issued = {"issued": settled.issued} if is_shown else {}
    return {
        **issued,
        "redeemed": settled.redeemed,
        "reversed": settled.reversed,
        "owed": settled.redeemed - settled.reversed if is_owed else 0,
    }
