"""What a purchase earns, and what a return takes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from services.rewards.domain.period import after
from services.rewards.domain.programme import Programme, Rule
from services.rewards.domain.unit import STANDARD, Terms

_LOT = UUID("0d9a3c2e-5e0e-5b7b-9a53-2f4c1d7c8e61")
_TAKE_BACK = UUID("6b1f0c57-7b0a-5d0e-8a44-93d7c2a1be05")

POINTS_MAX = 10**15
"""No lot is larger: a purchase of a state's budget earns this much and no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """What rules look at."""

    merchant: str
    purchase: str  # its id at the merchant
    amount_minor: int  # the sum of its lines; shipping and tax earn nothing
    purchased_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """What came back of a purchase, and what that leaves."""

    merchant: str
    purchase: str
    return_id: str
    kept_before_minor: int  # of the purchase's lines
    kept_after_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Award:
    """Points that a rule grants: one lot."""

    lot: UUID
    rule: Rule
    points: int  # > 0
    expires_at: datetime | None  # exclusive, with the programme's offset; None: never
    credit_at: datetime | None = None  # pending until then; None: at hand at once
    terms: Terms = STANDARD


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBack:
    """Points that a return has undone."""

    id: UUID
    lot: UUID
    rule: Rule
    points_before: int
    points_after: int

    @property
    def points(self) -> int:
        """A difference of two roundings, > 0."""
        return self.points_before - self.points_after


def points_for(rule: Rule, *, amount_minor: int) -> int:
    """Points for an amount, rounded down once, for the whole of it."""
    return min(amount_minor // rule.per_minor * rule.points_each, POINTS_MAX)


def awards_of(purchase: Purchase, programme: Programme) -> Iterator[Award]:
    """At most one lot per rule and unit; a rule that grants nothing makes none."""
    for rule in programme.rules:
        points = points_for(rule, amount_minor=purchase.amount_minor)
        if points:
            yield _award(purchase, programme, rule, points)


def take_backs_of(returned: Return, programme: Programme) -> Iterator[TakeBack]:
    """What the rules gave for what was kept before, less what they give for what is kept after.

    Whatever the order and the size of partial returns, the differences add up to what the
    purchase earned, and to no more.
    """
    for rule in programme.rules:
        before = points_for(rule, amount_minor=returned.kept_before_minor)
        now = points_for(rule, amount_minor=returned.kept_after_minor)
        if before > now:
            path = f"{returned.merchant}/{returned.purchase}/{returned.return_id}"
            yield TakeBack(
                id=uuid5(_TAKE_BACK, f"{path}/{programme.name}/{rule.name}/{rule.unit}"),
                lot=_lot(returned, programme, rule),
                rule=rule,
                points_before=before,
                points_after=now,
            )


def _lot(source: Purchase | Return, programme: Programme, rule: Rule) -> UUID:
    """The lot's id, the same whoever derives it. No part of its name can hold a slash.

    The version is no part of it: one purchase never earns by two versions of a rule.
    """
    path = f"{source.merchant}/{source.purchase}/{programme.name}/{rule.name}/{rule.unit}"
    return uuid5(_LOT, path)


def _award(purchase: Purchase, programme: Programme, rule: Rule, points: int) -> Award:
    unit, at, zone = programme.units[rule.unit], purchase.purchased_at, programme.time_zone
    return Award(
        lot=_lot(purchase, programme, rule),
        rule=rule,
        points=points,
        expires_at=None if unit.life is None else unit.life.end(at, zone),
        credit_at=None if unit.credited_after is None else after(at, unit.credited_after, zone),
        terms=unit.terms,
    )
