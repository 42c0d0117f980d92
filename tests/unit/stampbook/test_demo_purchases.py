"""The sample brought to the present."""

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stampbook.demo_purchases import read_sample, to_the_present


def nothing_recorded(_: str) -> datetime | None:
    return None


def purchase(at: str) -> dict[str, str]:
    return {"id": "a", "purchased_at": at}


@given(st.dates(min_value=date(2018, 6, 1), max_value=date(2100, 1, 1)))
def test_the_last_basket_is_at_most_a_week_old(today: date) -> None:
    purchases = [purchase("2017-01-01T12:00:00-05:00"), purchase("2017-12-31T21:21:49-05:00")]

    sample = to_the_present(purchases, today=today, recorded=nothing_recorded)

    assert 1 <= (today - sample.last_day).days <= 7
    assert sample.last_day.weekday() == date(2017, 12, 31).weekday()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("2017-01-01T12:00:00-05:00", "2026-06-21T12:00:00-04:00"),  # winter becomes summer
        ("2017-06-14T12:00:00-04:00", "2026-12-02T12:00:00-05:00"),  # and the other way round
    ],
)
def test_the_time_of_day_in_the_shop_stays_as_it_was(before: str, after: str) -> None:
    purchases = [purchase(before), purchase("2017-07-09T12:00:00-04:00")]

    sample = to_the_present(purchases, today=date(2026, 12, 28), recorded=nothing_recorded)

    assert sample.purchases[0]["purchased_at"] == after


def test_a_second_demo_sends_what_the_first_one_sent() -> None:
    purchases = read_sample()
    first = to_the_present(purchases, today=date(2026, 3, 1), recorded=nothing_recorded)
    recorded_at = datetime.fromisoformat(first.purchases[0]["purchased_at"])

    second = to_the_present(purchases, today=date(2026, 9, 1), recorded=lambda _: recorded_at)

    assert second == first


def test_the_sample_is_in_the_order_of_time_and_keeps_it() -> None:
    sample = to_the_present(read_sample(), today=date(2026, 11, 23), recorded=nothing_recorded)

    times = [datetime.fromisoformat(each["purchased_at"]) for each in sample.purchases]
    assert times == sorted(times)
    assert len(times) == 2_024
