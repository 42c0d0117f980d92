"""What members' points have to be, worked out with nothing of Stampbook's own code.

Twice: from the commands and what became of them, which knows no lots; and from the log, lot by
lot, as somebody would who was given nothing but the events.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.chaos.commands import Command
from tests.support.grocer import points_for, year_after

Json = dict[str, Any]


def balances_from_commands(
    recorded: Iterable[Command], *, redemptions: Mapping[str, Command], now: datetime
) -> Counter[str]:
    """Of every member, from what was recorded; the order does not count.

    Args:
        recorded: each command once; whether and when it was recorded is the log's to say.
        redemptions: all of them, by id, for what their reversals give back.
        now: what has ended by then is worth nothing.
    """
    points: Counter[str] = Counter()
    bought: dict[str, Command] = {}
    returned: Counter[str] = Counter()
    for command in recorded:
        points[command.member] += 0  # known, if only with nothing
        if command.type == "purchase":
            bought[command.id] = command
            if year_after(command.content["purchased_at"]) > now:
                points[command.member] += points_for(command.amount_minor)
        elif command.type == "return":
            returned[command.id.partition("/")[0]] += command.amount_minor
        elif command.type == "redemption":
            points[command.member] -= command.content["points"]
        else:
            spent = redemptions[command.id].content["points"]
            points[command.member] += command.content.get("points", spent)
    for id_ in returned.keys() & bought.keys():
        paid_minor = bought[id_].amount_minor
        lost = points_for(paid_minor) - points_for(paid_minor - returned[id_])
        points[bought[id_].member] -= lost
    return points


@dataclass(slots=True)
class Lot:
    """Points that were earned together."""

    id: str
    unit: str
    earned: int
    left: int
    earned_at: datetime
    expires_at: datetime | None

    @property
    def order(self) -> tuple[bool, float, datetime, str]:
        """Soonest end first, then the earlier earned, then the lower id."""
        end = self.expires_at.timestamp() if self.expires_at else 0.0
        return (self.expires_at is None, end, self.earned_at, self.id)

    def is_alive(self, at: datetime) -> bool:
        return self.expires_at is None or at < self.expires_at


@dataclass(slots=True)
class Book:
    """One member's points, followed event by event."""

    lots: dict[str, Lot] = field(default_factory=dict)
    owed: Counter[str] = field(default_factory=Counter)  # by unit
    faults: list[str] = field(default_factory=list)

    def apply(self, event: Json) -> None:
        """Follow an event; what cannot be is a fault."""
        data, position = event["data"], event["position"]
        name = event["type"].removeprefix("stampbook.points.").removesuffix(".v1")
        if name == "earned":
            self._earn(event)
            return
        if name == "redeemed":
            self._check_order(event)
        sign = 1 if name == "restored" else -1
        self._move(position, data.get("lots", [data]), sign)
        self.owed[data["unit"]] += {
            "taken-back": data.get("owed", 0),
            "repaid": -data["points"],
        }.get(name, 0)
        if self.owed[data["unit"]] < 0:
            self.faults.append(f"{position}: more was repaid than was owed")
        if name == "expired":
            self._check_end(event)

    def balance(self, unit: str, *, at: datetime) -> int:
        """What can be spent; less than nothing where something is owed."""
        lots = [lot for lot in self.lots.values() if lot.unit == unit and lot.is_alive(at)]
        return sum(lot.left for lot in lots) - self.owed[unit]

    def _earn(self, event: Json) -> None:
        data = event["data"]
        if data["lot"] in self.lots:
            self.faults.append(f"{event['position']}: lot {data['lot']} is earned again")
            return
        ends = data["expires_at"]
        self.lots[data["lot"]] = Lot(
            id=data["lot"],
            unit=data["unit"],
            earned=data["points"],
            left=data["points"],
            earned_at=datetime.fromisoformat(event["time"]),
            expires_at=datetime.fromisoformat(ends) if ends else None,
        )

    def _move(self, position: int, parts: Iterable[Json], sign: int) -> None:
        for part in parts:
            lot = self.lots.get(part["lot"])
            if lot is None:
                self.faults.append(f"{position}: nobody earned lot {part['lot']}")
                continue
            lot.left += sign * part["points"]
            if not 0 <= lot.left <= lot.earned:
                self.faults.append(f"{position}: {lot.left} of {lot.earned} left in {lot.id}")

    def _check_order(self, event: Json) -> None:
        """Points are spent when nothing is owed, from the lots that end soonest."""
        data, at = event["data"], datetime.fromisoformat(event["recordedat"])
        alive = [lot for lot in self.lots.values() if lot.unit == data["unit"] and lot.left]
        wanted, missing = [], data["points"]
        for lot in sorted((lot for lot in alive if lot.is_alive(at)), key=lambda lot: lot.order):
            some = min(lot.left, missing)
            wanted += [{"lot": lot.id, "points": some}] if some else []
            missing -= some
        spent = [{"lot": part["lot"], "points": part["points"]} for part in data["lots"]]
        if missing or self.owed[data["unit"]] or spent != wanted:
            self.faults.append(f"{event['position']}: spent {spent}, not {wanted}")

    def _check_end(self, event: Json) -> None:
        """A lot ends as a whole, and not before its time."""
        lot = self.lots.get(event["data"]["lot"])
        if lot and (lot.left or lot.is_alive(datetime.fromisoformat(event["recordedat"]))):
            self.faults.append(f"{event['position']}: lot {lot.id} ends too early, or in part")


def books_from_log(events: Iterable[Json]) -> dict[str, Book]:
    """Of every member who has moved points or bought something."""
    books: defaultdict[str, Book] = defaultdict(Book)
    for event in events:
        if "subject" in event:
            book = books[event["subject"]]
            if event["type"].startswith("stampbook.points."):
                book.apply(event)
    return dict(books)
