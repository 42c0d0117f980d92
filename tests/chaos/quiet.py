"""Waits until all has happened that was asked for: an installation that stalls has failed."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.chaos.commands import UNIT
from tests.chaos.facts import Log, outcomes
from tests.chaos.journal import ACCEPTED, Journal, Line
from tests.support.grocer import points_for
from tests.support.installation import Installation

Json = dict[str, Any]
WITHIN_S = 90.0
_LOOK_EVERY_S = 0.3


class Rest:
    """What is still to come, by what the journal and the log say."""

    def __init__(self, installation: Installation, journal: Journal, log: Log) -> None:
        self._installation = installation
        self._journal = journal
        self._log = log
        self._undecided = [
            line
            for line in journal.lines.values()
            if line.answers == {ACCEPTED} and line.command.type != "purchase"
        ]

    def wait(self, arrived: Callable[[], set[str]]) -> dict[str, int]:
        """Come back when nothing is missing, or when it is too late, with what is.

        Args:
            arrived: ids of the events that webhooks have brought so far.
        """
        give_up_at_s = time.monotonic() + WITHIN_S
        while missing := self._missing(arrived()):
            if time.monotonic() > give_up_at_s:
                break
            time.sleep(_LOOK_EVERY_S)
        return missing

    def _missing(self, arrived: set[str]) -> dict[str, int]:
        before = len(self._log.events)
        self._log.read_on()
        purchases = {
            (event["merchant"], event["data"]["purchase"])
            for event in self._log.of_type("purchase.recorded")
        }
        found = {
            "events that came just now": len(self._log.events) - before,
            "purchases": self._purchases(purchases),
            "decisions": self._decisions(purchases),
            "points": self._points(purchases),
            "points taken back": self._taken_back(),
            "ends of lots": self._ends(),
            "webhooks": len({event["id"] for event in self._log.events} - arrived),
        }
        return {name: count for name, count in found.items() if count}

    def _purchases(self, recorded: set[tuple[str, str]]) -> int:
        """Acknowledged, and not in the log."""
        return sum(
            line.is_acknowledged and name_of(line) not in recorded
            for line in self._journal.of_type("purchase")
        )

    def _decisions(self, purchases: set[tuple[str, str]]) -> int:
        """Acknowledged, and not decided, though nothing is in the way."""
        found = outcomes(self._installation, self._undecided)
        self._undecided = [
            line
            for line in self._undecided
            if found.get(line.label, {}).get("outcome", ACCEPTED) == ACCEPTED
        ]
        return sum(
            line.command.type != "return" or parent_of(line) in purchases
            for line in self._undecided
        )

    def _points(self, purchases: set[tuple[str, str]]) -> int:
        """Purchases that should have earned and have not."""
        earned = {
            event["data"]["purchase"]
            for event in self._log.of_type("points.earned")
            if event["data"]["unit"] == UNIT
        }
        return sum(
            name_of(line) in purchases
            and points_for(line.command.amount_minor) > 0
            and line.command.id not in earned
            for line in self._journal.of_type("purchase")
        )

    def _taken_back(self) -> int:
        """Purchases whose returns have not taken back all that they should."""
        bought = {
            line.command.id: line.command.amount_minor for line in self._journal.of_type("purchase")
        }
        returned: Counter[str] = Counter()
        for event in self._log.of_type("return.recorded"):
            returned[event["data"]["purchase"]] += event["data"]["amount_minor"]
        taken: Counter[str] = Counter()
        for event in self._log.of_type("points.taken-back"):
            taken[event["data"]["purchase"]] += event["data"]["points"]
        return sum(
            taken[id_] < points_for(bought[id_]) - points_for(bought[id_] - amount)
            for id_, amount in returned.items()
        )

    def _ends(self) -> int:
        """Lots that live for seconds only, and live still."""
        return sum(
            {"points.earned": 1, "points.expired": -1}[name]
            for name in ("points.earned", "points.expired")
            for event in self._log.of_type(name)
            if event["data"]["unit"] != UNIT
        )


def name_of(line: Line) -> tuple[str, str]:
    return line.command.merchant, line.command.id


def parent_of(line: Line) -> tuple[str, str]:
    """The purchase of a return."""
    return line.command.merchant, line.command.id.partition("/")[0]
