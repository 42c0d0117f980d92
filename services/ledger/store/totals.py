"""What all events have moved, by account and by pair of merchants, summed as it happens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from services.ledger.domain.events import Event
from services.ledger.domain.postings import Account, Posting, postings
from services.ledger.wire import Times
from services.runtime.database import Connection, Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE_US = 60_000_000
MINUTES_A_DAY = 1_440
WHOLE_MONTH = -1  # stands for the minute in the row of a month's sum
MOVEMENTS = ("grain", "happened", "recorded", "unit", "account", "points")
SETTLEMENTS = (
    "month",
    "minute",
    "issuer",
    "redeemer",
    "unit",
    "concerns",
    "issued",
    "redeemed",
    "reversed",
)


@dataclass(slots=True)
class Settled:
    """What one merchant issued and another took."""

    issued: int = 0
    redeemed: int = 0
    reversed: int = 0


@dataclass(slots=True)
class Totals:
    """Of one batch, or of a whole log."""

    # By unit, account, and the minutes in which it happened and was recorded.
    moved: defaultdict[tuple[str, str, int, int], int] = field(
        default_factory=lambda: defaultdict(int)
    )
    # By the minute of recording, its month, the month concerned, issuer, redeemer and unit.
    settled: defaultdict[tuple[int, str, str, str, str, str], Settled] = field(
        default_factory=lambda: defaultdict(Settled)
    )

    def note(self, event: Event, *, merchant: str, times: Times) -> None:
        """Add what an event moves."""
        moved = postings(event)
        if not moved:
            return
        unit: str = event.unit  # type: ignore[union-attr]  # what moves points has a unit
        recorded = minute_of(times.recorded_at)
        happened = min(minute_of(times.occurred_at), recorded)
        is_settled = False
        for posting in moved:
            # As plain text: an enumeration's own hash is slow, and this is done for every event.
            self.moved[unit, str(posting.account), happened, recorded] += posting.points
            is_settled |= posting.account in _SETTLING
        if is_settled:
            redeemed_at = getattr(event, "redeemed_at", None)
            concerned = happened if redeemed_at is None else minute_of(redeemed_at)
            place = (
                recorded,
                _month(recorded // MINUTES_A_DAY),
                _month(min(concerned, recorded) // MINUTES_A_DAY),
            )
            self._settle(place, moved, merchant=merchant, unit=unit)

    def _settle(
        self,
        place: tuple[int, str, str],
        sides: Sequence[Posting],
        *,
        merchant: str,
        unit: str,
    ) -> None:
        own = self.settled[*place, merchant, merchant, unit]
        for posting in sides:
            if posting.account is Account.ISSUED:
                own.issued -= posting.points
            elif posting.account is Account.REDEEMED:
                _spend(own, posting.points)
            elif posting.merchant is not None:  # the issuer's side; the other is ours
                _spend(self.settled[*place, posting.merchant, merchant, unit], -posting.points)
                _unspend(own, -posting.points)

    def movement_rows(self) -> list[Row]:
        """At every grain."""
        sums: defaultdict[tuple[int, int, int, str, str], int] = defaultdict(int)
        for (unit, account, happened, recorded), points in self.moved.items():
            day = happened // MINUTES_A_DAY
            sums[0, happened, recorded, unit, account] += points
            sums[1, day, recorded, unit, account] += points
            sums[2, day, recorded // MINUTES_A_DAY, unit, account] += points
        return [(*key, points) for key, points in sums.items() if points]

    def settlement_rows(self) -> list[Row]:
        """By minute, and for the whole month."""
        sums: defaultdict[tuple[str, int, str, str, str, str], Settled] = defaultdict(Settled)
        for (minute, month, concerns, issuer, redeemer, unit), some in self.settled.items():
            for each in (minute, WHOLE_MONTH):
                whole = sums[month, each, issuer, redeemer, unit, concerns]
                whole.issued += some.issued
                whole.redeemed += some.redeemed
                whole.reversed += some.reversed
        return [
            (*key, some.issued, some.redeemed, some.reversed)
            for key, some in sums.items()
            if some.issued or some.redeemed or some.reversed
        ]


_SETTLING = (Account.ISSUED, Account.REDEEMED, Account.OWED_BETWEEN_MERCHANTS)


def save_totals(connection: Connection, totals: Totals) -> None:
    """Add a batch's to what is kept."""
    connection.add("movements", MOVEMENTS, totals.movement_rows(), adding=MOVEMENTS[-1:])
    connection.add("settlements", SETTLEMENTS, totals.settlement_rows(), adding=SETTLEMENTS[-3:])


def minute_of(at: datetime) -> int:
    """Whole minutes since 1970, UTC."""
    return int(at.timestamp() // 60)


def month_of(at: datetime) -> str:
    """The month in UTC."""
    return _month(minute_of(at) // MINUTES_A_DAY)


@lru_cache(maxsize=4_096)
def _month(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).strftime("%Y-%m")


def _spend(settled: Settled, points: int) -> None:
    if points > 0:
        settled.redeemed += points
    else:
        settled.reversed -= points


def _unspend(settled: Settled, points: int) -> None:
    """Another's points are in the sum of all that were spent; they are not one's own."""
    if points > 0:
        settled.redeemed -= points
    else:
        settled.reversed += points
