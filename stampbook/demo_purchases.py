"""The sample's baskets, brought to the present: otherwise all their points would have ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from stampbook.failures import Misused

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SAMPLE = EXAMPLES / "purchases.ndjson"
PROGRAMME = EXAMPLES / "programmes" / "grocer.yaml"
SHOPS_TIME_ZONE = ZoneInfo("America/New_York")

Purchase = dict[str, Any]

_FEW_LINES = range(4, 9)
_DEAR_MINOR = 1_500


@dataclass(frozen=True, slots=True)
class Sample:
    """The baskets as they are sent, and by how many weeks they were moved."""

    purchases: list[Purchase]
    weeks: int

    @property
    def last_day(self) -> date:
        """The day of the last basket."""
        return _day(self.purchases[-1])


def read_sample() -> list[Purchase]:
    """The baskets as the file has them, in the order of time.

    Raises:
        Misused: there is no such file.
    """
    try:
        lines = SAMPLE.read_bytes().splitlines()
    except FileNotFoundError:
        raise Misused("The demo needs the folder `examples` of Stampbook's source.") from None
    return [msgspec.json.decode(line) for line in lines]


def to_the_present(
    purchases: list[Purchase], *, today: date, recorded: Callable[[str], datetime | None]
) -> Sample:
    """Move all baskets by the same number of whole weeks, so that the last is at most a week old.

    Args:
        purchases: of the file.
        today: the last basket's new day lies before it.
        recorded: when the purchase of an id was made, if the server knows it from an earlier
            demo: then all stay where they were, since an id has one content for ever.
    """
    first = purchases[0]
    known = recorded(first["id"])
    if known is not None:
        weeks = (known.astimezone(SHOPS_TIME_ZONE).date() - _day(first)).days // 7
    else:
        weeks = (today - timedelta(days=1) - _day(purchases[-1])).days // 7
    return Sample([_moved(purchase, weeks) for purchase in purchases], weeks)


def memorable(sample: Sample) -> Purchase:
    """The newest basket that a person takes in at a glance and that is worth a few points."""
    return next(filter(_is_memorable, reversed(sample.purchases)))


def _is_memorable(purchase: Purchase) -> bool:
    lines = purchase["lines"]
    return (
        len(lines) in _FEW_LINES
        and dearest(purchase)["amount_minor"] >= _DEAR_MINOR
        and all(line["quantity"] and line["categories"] for line in lines)
    )


def dearest(purchase: Purchase) -> Mapping[str, Any]:
    """The line that cost most."""
    line: Mapping[str, Any] = max(purchase["lines"], key=lambda line: line["amount_minor"])
    return line


def _moved(purchase: Purchase, weeks: int) -> Purchase:
    """The same weekday and time of day in the shop; its offset from UTC may be another."""
    at = datetime.fromisoformat(purchase["purchased_at"]).replace(tzinfo=None)
    moved = (at + timedelta(weeks=weeks)).replace(tzinfo=SHOPS_TIME_ZONE)
    return {**purchase, "purchased_at": moved.isoformat()}


def _day(purchase: Purchase) -> date:
    return datetime.fromisoformat(purchase["purchased_at"]).date()
