"""Which version of a programme holds when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.rewards.domain.schedule import (
    Activation,
    State,
    state_of,
    version_for_purchase,
    version_in_force,
)

FIRST = Activation(version=1, activated_at=datetime(2017, 1, 1, tzinfo=UTC))
SECOND = Activation(version=2, activated_at=datetime(2017, 3, 1, tzinfo=UTC))
LATER = datetime(2020, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def retired(activation: Activation, *, month: int) -> Activation:
    return Activation(
        version=activation.version,
        activated_at=activation.activated_at,
        retired_at=datetime(2017, month, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("at", "version"),
    [
        (FIRST.activated_at - TICK, None),
        (FIRST.activated_at, 1),
        (SECOND.activated_at - TICK, 1),
        (SECOND.activated_at, 2),
        (LATER, 2),
    ],
)
def test_a_version_holds_until_a_later_one_does(at: datetime, version: int | None) -> None:
    assert version_in_force([SECOND, FIRST], at=at) == version


def test_of_two_activated_in_the_same_instant_the_higher_holds() -> None:
    same = Activation(version=2, activated_at=FIRST.activated_at)

    assert version_in_force([same, FIRST], at=LATER) == 2


def test_after_a_retirement_nothing_holds_until_the_next_activation() -> None:
    schedule = [retired(FIRST, month=2), SECOND]

    assert version_in_force(schedule, at=datetime(2017, 1, 31, tzinfo=UTC)) == 1
    assert version_in_force(schedule, at=datetime(2017, 2, 1, tzinfo=UTC)) is None
    assert version_in_force(schedule, at=SECOND.activated_at) == 2


def test_what_was_retired_before_it_began_never_held() -> None:
    schedule = [FIRST, retired(SECOND, month=2)]

    assert version_in_force(schedule, at=LATER) == 1


def test_imported_history_falls_under_the_first_version() -> None:
    version = version_for_purchase(
        [SECOND, FIRST], purchased_at=datetime(2009, 1, 1, tzinfo=UTC), recorded_at=LATER
    )

    assert version == 1


def test_before_the_first_day_nothing_is_earned() -> None:
    yesterday = FIRST.activated_at - timedelta(days=1)

    assert version_for_purchase([FIRST], purchased_at=yesterday, recorded_at=yesterday) is None


def test_a_version_that_never_held_is_not_the_first() -> None:
    never = Activation(version=1, activated_at=SECOND.activated_at, retired_at=FIRST.activated_at)
    third = Activation(version=3, activated_at=datetime(2017, 4, 1, tzinfo=UTC))
    bought_at = datetime(2016, 1, 1, tzinfo=UTC)

    assert version_for_purchase([never, third], purchased_at=bought_at, recorded_at=LATER) == 3
    assert version_for_purchase([never], purchased_at=bought_at, recorded_at=LATER) is None


def test_a_late_purchase_falls_under_the_version_of_its_day() -> None:
    version = version_for_purchase(
        [FIRST, SECOND], purchased_at=datetime(2017, 2, 1, tzinfo=UTC), recorded_at=LATER
    )

    assert version == 1


@pytest.mark.parametrize(
    ("version", "now", "state"),
    [
        (3, LATER, State.DRAFT),
        (2, FIRST.activated_at, State.SCHEDULED),
        (1, FIRST.activated_at, State.ACTIVE),
        (1, LATER, State.SUPERSEDED),
        (2, datetime(2017, 4, 1, tzinfo=UTC), State.ACTIVE),
        (2, LATER, State.RETIRED),
    ],
)
def test_says_where_a_version_stands(version: int, now: datetime, state: State) -> None:
    assert state_of(version, [FIRST, retired(SECOND, month=6)], now=now) is state
