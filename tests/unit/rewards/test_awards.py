"""What a purchase earns, and what returns take back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rewards.domain.awards import (
    POINTS_MAX,
    Award,
    Purchase,
    Return,
    awards_of,
    points_for,
    take_backs_of,
)
from services.rewards.domain.period import Period, Span
from services.rewards.domain.programme import Programme, Rule, understand
from services.rewards.domain.unit import Life, Terms, Unit

BASE = Rule(name="base", unit="points", points_each=1, per_minor=1_000)
PURCHASE = Purchase(
    merchant="grocer",
    purchase="b1",
    amount_minor=4_237,
    purchased_at=datetime.fromisoformat("2017-01-01T12:30:27-05:00"),
)
RULES = st.builds(
    Rule,
    name=st.just("base"),
    unit=st.just("points"),
    points_each=st.integers(1, 1_000_000),
    per_minor=st.integers(1, 10**13),
)


def programme(**rules: Rule) -> Programme:
    grocer = understand(
        {
            "programme": "grocer",
            "currency": "USD",
            "time_zone": "America/New_York",
            "units": {"points": {"expires_after": "P12M"}, "stars": {}},
            "rules": {},
        },
        version=3,
    )
    return replace(grocer, rules=tuple(rules.values()))


def returned(*, before: int, after: int, return_id: str = "r1") -> Return:
    return Return(
        merchant="grocer",
        purchase="b1",
        return_id=return_id,
        kept_before_minor=before,
        kept_after_minor=after,
    )


@pytest.mark.parametrize(
    ("amount_minor", "points"),
    [(0, 0), (1, 0), (999, 0), (1_000, 1), (1_999, 1), (2_000, 2), (4_237, 4), (10**15, 10**12)],
)
def test_gives_points_for_each_full_amount(amount_minor: int, points: int) -> None:
    assert points_for(BASE, amount_minor=amount_minor) == points


def test_counts_full_amounts_before_it_multiplies() -> None:
    rule = replace(BASE, points_each=5, per_minor=100)

    assert points_for(rule, amount_minor=199) == 5


def test_no_lot_is_larger_than_the_ledger_counts() -> None:
    rule = replace(BASE, points_each=1_000_000, per_minor=1)

    assert points_for(rule, amount_minor=10**15) == POINTS_MAX


def test_an_award_names_its_lot_its_points_and_its_end() -> None:
    [award] = awards_of(PURCHASE, programme(base=BASE))

    assert award == Award(
        lot=UUID("9a0cae86-29fd-53e5-a39c-df2223fb8570"),
        rule=BASE,
        points=4,
        expires_at=datetime.fromisoformat("2018-01-01T12:30:27-05:00"),
    )


def test_points_of_a_unit_without_a_lifetime_never_end() -> None:
    [award] = awards_of(PURCHASE, programme(base=replace(BASE, unit="stars")))

    assert award.expires_at is None


def test_an_award_carries_the_terms_of_its_unit() -> None:
    life = Life(after=Period(months=12), span=Span.YEAR)
    terms = Terms(rank=1, shortfall="write-off", grace_s=1_209_600)
    unit = Unit(life=life, credited_after=Period(days=14), terms=terms)
    shop = replace(programme(base=BASE), units={"points": unit})

    [award] = awards_of(PURCHASE, shop)

    assert award.expires_at == datetime.fromisoformat("2019-01-01T00:00:00-05:00")
    assert award.credit_at == datetime.fromisoformat("2017-01-15T12:30:27-05:00")
    assert award.terms == terms


def test_too_small_a_purchase_makes_no_lot() -> None:
    assert list(awards_of(replace(PURCHASE, amount_minor=999), programme(base=BASE))) == []


def test_rules_are_independent_and_make_a_lot_each() -> None:
    bonus = Rule(name="bonus", unit="points", points_each=10, per_minor=4_000)

    awards = list(awards_of(PURCHASE, programme(base=BASE, bonus=bonus)))

    assert [(award.rule.name, award.points) for award in awards] == [("base", 4), ("bonus", 10)]
    assert len({award.lot for award in awards}) == 2


def test_a_lot_has_the_same_id_by_whichever_version() -> None:
    one = programme(base=BASE)

    [first], [second] = awards_of(PURCHASE, one), awards_of(PURCHASE, replace(one, version=4))

    assert first.lot == second.lot


@pytest.mark.parametrize(
    ("before", "after", "points"),
    [(4_237, 3_237, 1), (4_237, 4_000, 0), (4_237, 3_999, 1), (3_999, 3_500, 0), (4_237, 0, 4)],
)
def test_takes_back_the_difference_of_two_roundings(before: int, after: int, points: int) -> None:
    take_backs = take_backs_of(returned(before=before, after=after), programme(base=BASE))

    assert sum(take_back.points for take_back in take_backs) == points


def test_takes_back_from_the_lot_that_the_purchase_earned() -> None:
    [award] = awards_of(PURCHASE, programme(base=BASE))

    [take_back] = take_backs_of(returned(before=4_237, after=0), programme(base=BASE))

    assert take_back.lot == award.lot
    assert (take_back.points_before, take_back.points_after) == (4, 0)


def test_every_return_has_a_take_back_of_its_own() -> None:
    grocer = programme(base=BASE)

    [first] = take_backs_of(returned(before=4_237, after=3_000), grocer)
    [second] = take_backs_of(returned(before=3_000, after=2_000, return_id="r2"), grocer)

    assert first.id != second.id


@given(rule=RULES, parts=st.lists(st.integers(0, 10**9), min_size=1, max_size=12), data=st.data())
def test_partial_returns_in_any_order_never_take_back_more_than_was_given(
    rule: Rule, parts: list[int], data: st.DataObject
) -> None:
    shop = programme(base=rule)
    given_points = points_for(rule, amount_minor=sum(parts))
    kept, taken = sum(parts), 0

    for index, part in enumerate(data.draw(st.permutations(parts))):
        partial = returned(before=kept, after=kept - part, return_id=f"r{index}")
        taken += sum(take_back.points for take_back in take_backs_of(partial, shop))
        kept -= part
        assert taken == given_points - points_for(rule, amount_minor=kept)

    assert taken == given_points


@given(rule=RULES, amount_minor=st.integers(0, 10**15))
def test_never_gives_more_than_the_exact_quotient(rule: Rule, amount_minor: int) -> None:
    points = points_for(rule, amount_minor=amount_minor)

    exact = amount_minor * rule.points_each
    assert points * rule.per_minor <= exact
    assert points == POINTS_MAX or exact - points * rule.per_minor < rule.per_minor * (
        rule.points_each
    )


def test_an_instant_is_the_same_whatever_offset_the_till_has() -> None:
    utc = replace(PURCHASE, purchased_at=PURCHASE.purchased_at.astimezone(UTC))

    assert list(awards_of(utc, programme(base=BASE))) == list(
        awards_of(PURCHASE, programme(base=BASE))
    )
