"""What a programme says of a kind of points: when they begin and end, and on what terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.rewards.domain.errors import Fault
from services.rewards.domain.period import (
    Period,
    Span,
    after,
    end_of,
    is_always_shorter,
    parse_period,
)

UnitDocument = Mapping[str, Any]
"""A unit as written, in the shape of contracts/programme.schema.json."""

GRACE_MAX_S: Final = 315_360_000
"""Ten years, as an award can say it."""
OWE: Final = "owe"
"""What becomes of spent points that a return takes back, unless the unit says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How long points live, counted from the purchase: a period, or up to a calendar's end."""

    after: Period | None = None  # None: no time at all
    span: Span | None = None  # up to the end of the one in which ``after`` is over

    def end(self, at: datetime, zone: ZoneInfo) -> datetime:
        """The instant from which on points of a purchase at ``at`` are worth nothing."""
        ends_at = at if self.after is None else after(at, self.after, zone)
        return ends_at if self.span is None else end_of(self.span, ends_at, zone)

    def always_outlasts(self, period: Period) -> bool:
        """Whether every purchase's points live longer than a period from the purchase on."""
        if self.after is None:
            return False  # The purchase may come just before the calendar's end.
        is_same = self.span is not None and period == self.after
        return is_same or is_always_shorter(period, self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What stays with a lot for good, as an award says it."""

    rank: int = 0  # >= 0; the lower is spent first
    shortfall: str = OWE  # owe, write-off or refuse
    grace_s: int | None = None  # > 0; None: none


STANDARD: Final = Terms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One kind of points, understood."""

    life: Life | None = None  # None: its points never end
    credited_after: Period | None = None  # pending so long; None: at hand at once
    terms: Terms = STANDARD


def understand_unit(unit: UnitDocument) -> Unit:
    """Read a unit that has the right shape and in which ``faults_in_unit`` finds nothing."""
    grace = parse_period(unit["grace"]).stopwatch_s if "grace" in unit else None
    return Unit(
        life=_life(unit),
        credited_after=parse_period(unit["credited_after"]) if "credited_after" in unit else None,
        terms=Terms(
            rank=unit.get("spent_rank", 0), shortfall=unit.get("when_spent", OWE), grace_s=grace
        ),
    )


def faults_in_unit(pointer: str, unit: UnitDocument) -> Iterator[Fault]:
    """What is wrong beyond the shape; what is missing or None is not judged."""
    expires = unit.get("expires") or {}
    malformed = [
        Fault(f"{pointer}/{path}", "malformed", f"{text} {error}")
        for path, text in (
            ("expires_after", unit.get("expires_after")),
            ("expires/after", expires.get("after")),
            ("credited_after", unit.get("credited_after")),
            ("grace", unit.get("grace")),
        )
        if text is not None and (error := _error_in(text)) is not None
    ]
    if malformed:
        yield from malformed
    else:
        yield from _faults_in_credit(pointer, unit)
        yield from _faults_in_grace(pointer, unit)


def _faults_in_credit(pointer: str, unit: UnitDocument) -> Iterator[Fault]:
    credited_after, life = unit.get("credited_after"), _life(unit)
    if credited_after is None or life is None or life.always_outlasts(parse_period(credited_after)):
        return
    detail = f"points could end before they are credited, {credited_after} after the purchase"
    yield Fault(f"{pointer}/credited_after", "too-long", detail)


def _faults_in_grace(pointer: str, unit: UnitDocument) -> Iterator[Fault]:
    grace = unit.get("grace")
    if grace is None:
        return
    if "expires_after" not in unit and "expires" not in unit:
        detail = "points that never end need no time of grace"
        yield Fault(f"{pointer}/grace", "not-allowed", detail)
    elif parse_period(grace).stopwatch_s > GRACE_MAX_S:
        yield Fault(f"{pointer}/grace", "too-long", f"{grace} is longer than ten years of 365 days")


def _life(unit: UnitDocument) -> Life | None:
    """How long its points live; None also for what is not well enough said to be judged."""
    if unit.get("expires_after") is not None:
        return Life(after=parse_period(unit["expires_after"]))
    expires = unit.get("expires") or {}
    if expires.get("end_of") is None or expires.get("after", "") is None:
        return None
    lasts = parse_period(expires["after"]) if "after" in expires else None
    return Life(after=lasts, span=Span(expires["end_of"]))


def _error_in(period: str) -> str | None:
    try:
        parse_period(period)
    except ValueError as error:
        return str(error)
    return None
