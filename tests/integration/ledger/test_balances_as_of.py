"""What was true then, as far as was known then: against a model that knows only the raw events."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings

from services.ledger.views import past, statement
from services.ledger.views.balances import balances
from services.ledger.views.story import Moment
from services.runtime.clock import parse_rfc3339
from services.runtime.database import Database
from services.runtime.eventlog import EventLog
from tests.support.desk import START
from tests.support.story import MOMENTS, STEPS, told


class OnPaper:
    """Adds raw events up as one would do it by hand."""

    def __init__(self) -> None:
        self.in_lots: defaultdict[str, int] = defaultdict(int)
        self.ends: dict[str, datetime] = {}
        self.earned: set[str] = set()
        self.debt = 0

    def note(self, name: str, data: dict[str, Any]) -> None:
        match name:
            case "earned" | "granted":
                self.in_lots[data["lot"]] += data["points"]
                self.earned.add(data["lot"])
                if data["expires_at"]:
                    self.ends[data["lot"]] = parse_rfc3339(data["expires_at"])
            case "restored":
                self.move(data["lots"], 1)
            case "redeemed" | "withdrawn":
                self.move(data["lots"], -1)
            case "taken-back":
                self.move(data["lots"], -1)
                self.debt += data["owed"]
            case "repaid":
                self.move([data], -1)
                self.debt -= data["points"]
            case "expired":
                self.move([data], -1)
            case _:
                raise AssertionError(name)

    def move(self, parts: list[dict[str, Any]], direction: int) -> None:
        for part in parts:
            self.in_lots[part["lot"]] += direction * part["points"]

    def worth(self, at: datetime) -> int:
        ended = self.ended(at)
        return sum(p for lot, p in self.in_lots.items() if lot not in ended) - self.debt

    def ended(self, at: datetime) -> set[str]:
        return {lot for lot, end in self.ends.items() if end <= at}


def naive_balance(database: Database, *, at: datetime, known_at: datetime) -> int:
    return on_paper(database, at=at, known_at=known_at).worth(at)


def on_paper(database: Database, *, at: datetime, known_at: datetime) -> OnPaper:
    with database.read() as connection:
        log = EventLog(database).page(connection, after=0, limit=1_000_000)
    paper = OnPaper()
    for _, raw in log:
        event = json.loads(raw)
        recorded_at = parse_rfc3339(event["recordedat"])
        happened_at = min(parse_rfc3339(event["time"]), recorded_at)
        if recorded_at <= known_at and happened_at <= at:
            paper.note(event["type"].split(".")[2], event["data"])
    return paper


def naive_lots(database: Database, *, at: datetime, known_at: datetime) -> dict[str, int]:
    """What every lot held that had been earned."""
    paper = on_paper(database, at=at, known_at=known_at)
    return {
        lot: 0 if lot in paper.ended(at) else points
        for lot, points in paper.in_lots.items()
        if lot in paper.earned
    }


def shown_lots(database: Database, moment: Moment, *, now: datetime) -> dict[str, int]:
    with database.read() as connection:
        found = statement.lots(connection, "1130", after=0, limit=1_000, moment=moment, now=now)
    return {str(line["lot"]): int(str(line["available"])) for line in found.items}


def shown_balance(database: Database, moment: Moment, *, now: datetime) -> int:
    with database.read() as connection:
        lines = balances(connection, "1130", moment=moment, now=now) or []
    for line in lines:
        expiring: Any = line["expiring"]
        assert sum(part["points"] for part in expiring) == line["available"]
    return sum(int(str(line["available"])) for line in lines)


@contextmanager
def reading(*, is_backward: bool) -> Iterator[None]:
    """Stories are read from where they are certain, whatever that costs; or from the beginning."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(past, "LONG", 0 if is_backward else 1_000)
        patch.setattr(past, "UNDOING", 0)
        patch.setattr(past, "_CLOCK_SET_BACK_MAX", timedelta(0))
        yield


@pytest.mark.parametrize("is_backward", [False, True])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, moments=MOMENTS)
@example(
    steps=[
        ("award", 50, -3, 400, "grocer"),
        ("wait", 48, False),
        ("redeem", 50, "grocer"),
        ("award", 5, -1, 400, "baker"),
        ("take back", 7, 1, -200),
        ("wait", 48, False),
    ],
    moments=[
        (timedelta(hours=24), timedelta(hours=24)),
        (timedelta(hours=24), timedelta(hours=90)),
    ],
)
def test_balance_and_lots_are_what_was_true_then_as_far_as_was_known(
    is_backward: bool,  # noqa: FBT001 - where the reading begins
    steps: list[tuple[Any, ...]],
    moments: list[tuple[timedelta, timedelta]],
) -> None:
    with told(steps) as desk, reading(is_backward=is_backward):
        database, now = desk.database, desk.now

        for at, known_at in [*((START + a, START + b) for a, b in moments), (now, now)]:
            moment = Moment(at, known_at)

            assert shown_balance(database, moment, now=now) == naive_balance(
                database, at=at, known_at=known_at
            ), (at, known_at)
            assert shown_lots(database, moment, now=now) == naive_lots(
                database, at=at, known_at=known_at
            ), (at, known_at)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_the_changes_of_a_statement_sum_to_the_balance_when_nothing_is_due(
    steps: list[tuple[Any, ...]],
) -> None:
    with told(steps) as desk:
        desk.tick()
        database, now = desk.database, desk.now

        with database.read() as connection:
            found = statement.entries(
                connection, "1130", after=0, limit=1_000, moment=Moment(now, now)
            )

        changes = sum(int(str(line["change"])) for line in found.items)
        assert changes == shown_balance(database, Moment(now, now), now=now)
