"""Random stories of one member: late awards, spending at two merchants, returns told late, ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from hypothesis import strategies as st

from services.runtime.clock import rfc3339
from services.runtime.database import Database
from tests.support.databases import migrated
from tests.support.desk import Desk

HOURS = st.integers(-400, 800).map(lambda hours: timedelta(hours=hours))  # events lie on hours too
POINTS = st.integers(1, 60)
MERCHANTS = st.sampled_from(["grocer", "baker"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("award"), POINTS, st.integers(-300, 23), st.integers(1, 400), MERCHANTS),
        st.tuples(st.just("award for ever"), POINTS, st.integers(-300, 23), MERCHANTS),
        st.tuples(st.just("redeem"), POINTS, MERCHANTS),
        st.tuples(st.just("reverse"), st.integers(0, 5)),
        st.tuples(st.just("take back"), POINTS, st.integers(1, 5), st.integers(-300, 23)),
        st.tuples(st.just("grant"), POINTS, st.integers(1, 400), MERCHANTS),
        st.tuples(st.just("withdraw"), POINTS, MERCHANTS),
        st.tuples(st.just("wait"), st.integers(1, 200), st.booleans()),
    ),
    max_size=14,
)
MOMENTS = st.lists(st.tuples(HOURS, HOURS), min_size=1, max_size=6)


class Story:
    """Lets things happen at a desk."""

    def __init__(self, database: Database) -> None:
        self.desk = Desk(database)
        self.issuers: list[str] = []
        self.redeemers: list[str] = []
        self.adjustments = 0

    def happen(self, step: tuple[Any, ...]) -> None:  # noqa: C901  # a line a kind
        match step:
            case ("award", points, hours, life, merchant):
                self.award(points, hours, timedelta(hours=life), merchant)
            case ("award for ever", points, hours, merchant):
                self.award(points, hours, None, merchant)
            case ("redeem", points, merchant):
                self.redeem(points, merchant)
            case ("reverse", number):
                self.reverse(number)
            case ("take back", points, number, hours):
                self.take_back(points, number, hours)
            case ("grant", points, life, merchant):
                expires_at = rfc3339(self.desk.now + timedelta(hours=life))
                self.adjust(merchant, "credit", points, expires_at=expires_at)
            case ("withdraw", points, merchant):
                self.adjust(merchant, "debit", points)
            case ("wait", hours, ticks):
                self.desk.now += timedelta(hours=hours)
                if ticks:
                    self.desk.tick()
            case _:
                raise AssertionError(step)

    def redeem(self, points: int, merchant: str) -> None:
        self.redeemers.append(merchant)
        data = {"member": "1130", "unit": "points", "points": points}
        name = f"s-{len(self.redeemers)}"
        self.desk.send(self.desk.command("redemption", name, data, source=merchant))

    def reverse(self, number: int) -> None:
        merchant = self.redeemers[number - 1] if 0 < number <= len(self.redeemers) else "grocer"
        self.desk.send(self.desk.command("reversal", f"s-{number}", {}, source=merchant))

    def award(self, points: int, hours: int, life: timedelta | None, merchant: str) -> None:
        self.issuers.append(merchant)
        earned_at = self.desk.now + timedelta(hours=hours)
        changes: dict[str, Any] = {
            "merchant": merchant,
            "earned_at": rfc3339(earned_at),
            "expires_at": None if life is None else rfc3339(earned_at + life),
        }
        self.desk.send(self.desk.award(points, purchase=f"p-{len(self.issuers)}", **changes))

    def adjust(self, merchant: str, direction: str, points: int, **more: str) -> None:
        self.adjustments += 1
        data = {"member": "1130", "unit": "points", "points": points, "reason": "put right"}
        data |= {"direction": direction, **more}
        name = f"a-{self.adjustments}"
        self.desk.send(self.desk.command("adjustment", name, data, source=merchant))

    def take_back(self, points: int, number: int, hours: int) -> None:
        lot = str(uuid5(NAMESPACE_URL, f"lot of p-{number}"))
        data = {
            "merchant": self.issuers[number - 1] if number <= len(self.issuers) else "grocer",
            "member": "1130",
            "purchase": f"p-{number}",
            "return": f"r-{points}",
            "lot": lot,
            "unit": "points",
            "points": points,
            "returned_at": rfc3339(self.desk.now + timedelta(hours=hours)),
            "programme": "grocer",
            "version": 1,
            "rule": "base",
            "arithmetic": {
                "currency": "USD",
                "per_minor": 100,
                "points_each": 1,
                "kept_before_minor": 100 * points,
                "kept_after_minor": 0,
                "points_before": points,
                "points_after": 0,
            },
        }
        id_ = str(uuid5(NAMESPACE_URL, f"{lot} {points} {hours}"))
        self.desk.send(self.desk.command("take-back", id_, data, source="/rewards"))


@contextmanager
def told(steps: Sequence[tuple[Any, ...]]) -> Iterator[Desk]:
    """A desk at which all this has happened."""
    with (
        TemporaryDirectory() as folder,
        migrated(f"sqlite:///{folder}/test.db", "services.ledger") as database,
    ):
        story = Story(database)
        for step in steps:
            story.happen(step)
        yield story.desk
