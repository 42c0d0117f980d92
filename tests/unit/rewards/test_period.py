"""Lengths of time: durations as text, and the calendar of a time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.rewards.domain.period import (
    Period,
    Span,
    after,
    end_of,
    is_always_shorter,
    parse_period,
)

NEW_YORK = ZoneInfo("America/New_York")
ZONES = [
    "UTC",
    "America/New_York",
    "America/Sao_Paulo",  # put its clocks forward at midnight
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # by half an hour
    "Europe/Berlin",
    "Pacific/Apia",  # left out a whole day in 2011
]


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("P12M", Period(months=12)),
        ("P1Y", Period(months=12)),
        ("P1Y6M", Period(months=18)),
        ("P6W", Period(days=42)),
        ("P90D", Period(days=90)),
        ("P1Y2M3W4DT5H6M7S", Period(months=14, days=25, seconds=18_367)),
        ("PT36H", Period(seconds=129_600)),
        ("PT90S", Period(seconds=90)),
        ("P0Y1M", Period(months=1)),
        ("P1000Y", Period(months=12_000)),
    ],
)
def test_reads_a_duration(text: str, period: Period) -> None:
    assert parse_period(text) == period


@pytest.mark.parametrize(
    "text",
    [
        "", "P", "PT", "P1DT", "12M", "p12m", "P12", "P1.5Y", "P1,5Y", "P-1M", "-P1M", "+P1M",
        "P1M1Y",
        "P1H", "PT1D", "P1M ", "P1M\n", "P\u0661M", "P0D", "PT0S", "P0Y0M", "P1001Y", "P99999M",
        "P99999Y", "P123456D", "P1MT",
    ],
)  # fmt: skip
def test_refuses_what_is_no_duration_or_no_time_at_all(text: str) -> None:
    with pytest.raises(ValueError, match=r"is (not|no|longer)"):
        parse_period(text)


@pytest.mark.parametrize(
    ("at", "duration", "ends"),
    [
        # The interface's own example.
        ("2017-01-01T12:30:27-05:00", "P12M", "2018-01-01T12:30:27-05:00"),
        # The same time of day, though the clocks have changed in between.
        ("2017-01-31T12:00:00-05:00", "P6M", "2017-07-31T12:00:00-04:00"),
        ("2017-03-11T12:00:00-05:00", "P1D", "2017-03-12T12:00:00-04:00"),
        # A day that the month lacks becomes its last.
        ("2017-01-31T12:00:00-05:00", "P1M", "2017-02-28T12:00:00-05:00"),
        ("2019-01-31T12:00:00-05:00", "P13M", "2020-02-29T12:00:00-05:00"),
        ("2020-02-29T12:00:00-05:00", "P1Y", "2021-02-28T12:00:00-05:00"),
        # Months first, then days.
        ("2017-01-31T12:00:00-05:00", "P1M1D", "2017-03-01T12:00:00-05:00"),
        # The shop's calendar counts, not the till's: in New York it is still the 31st.
        ("2017-02-01T03:00:00Z", "P1M", "2017-02-28T22:00:00-05:00"),
        # 02:30 does not exist that night.
        ("2017-02-12T02:30:00-05:00", "P1M", "2017-03-12T03:30:00-04:00"),
        # 01:30 exists twice that night: the first one.
        ("2017-10-05T01:30:00-04:00", "P1M", "2017-11-05T01:30:00-04:00"),
        # Bought in the second 01:30, a year later there is but one.
        ("2017-11-05T01:30:00-05:00", "P1Y", "2018-11-05T01:30:00-05:00"),
        # Hours pass as on a stop-watch, also while the clocks change.
        ("2017-03-11T12:00:00-05:00", "PT24H", "2017-03-12T13:00:00-04:00"),
        ("2017-11-05T01:30:00-05:00", "PT1H", "2017-11-05T02:30:00-05:00"),
        ("2017-11-05T01:30:00-04:00", "PT1H", "2017-11-05T01:30:00-05:00"),
        ("2017-01-01T12:30:27.123456-05:00", "P1M", "2017-02-01T12:30:27.123456-05:00"),
    ],
)
def test_counts_on_the_calendar_of_the_programmes_time_zone(
    at: str, duration: str, ends: str
) -> None:
    end = after(datetime.fromisoformat(at), parse_period(duration), NEW_YORK)

    assert end.isoformat() == ends


def test_a_day_that_a_country_left_out_ends_on_the_next() -> None:
    bought_at = datetime(2011, 11, 30, 12, tzinfo=ZoneInfo("Pacific/Apia"))

    end = after(bought_at, parse_period("P1M"), ZoneInfo("Pacific/Apia"))

    assert end.isoformat() == "2011-12-31T12:00:00+14:00"


@given(
    at=st.integers(100_000_000, 2_080_000_000).map(lambda at_s: datetime.fromtimestamp(at_s, UTC)),
    months=st.integers(0, 40),
    days=st.integers(0, 800),
    zone=st.sampled_from(ZONES),
)
@example(at=datetime(2017, 10, 5, 5, 30, tzinfo=UTC), months=1, days=0, zone="America/New_York")
@example(at=datetime(2017, 2, 12, 7, 30, tzinfo=UTC), months=1, days=0, zone="America/New_York")
@example(at=datetime(2011, 11, 30, 12, 0, tzinfo=UTC), months=1, days=0, zone="Pacific/Apia")
@example(at=datetime(2016, 9, 15, 3, 0, tzinfo=UTC), months=1, days=1, zone="America/Sao_Paulo")
def test_agrees_with_counting_on_ones_fingers(
    at: datetime, months: int, days: int, zone: str
) -> None:
    period = Period(months=months, days=days)

    end = after(at, period, ZoneInfo(zone))

    assert end.astimezone(UTC) == (_by_hand(at, period, zone) if months or days else at)
    assert end.utcoffset() == end.astimezone(UTC).astimezone(ZoneInfo(zone)).utcoffset()


@pytest.mark.parametrize(
    ("span", "at", "ends"),
    [
        ("month", "2017-01-31T23:59:59.999999-05:00", "2017-02-01T00:00:00-05:00"),
        # Half-open: midnight itself belongs to what begins.
        ("month", "2017-02-01T00:00:00-05:00", "2017-03-01T00:00:00-05:00"),
        ("month", "2016-02-29T12:00:00-05:00", "2016-03-01T00:00:00-05:00"),
        ("month", "2017-12-05T12:00:00-05:00", "2018-01-01T00:00:00-05:00"),
        # The clocks change in between.
        ("month", "2017-03-01T12:00:00-05:00", "2017-04-01T00:00:00-04:00"),
        ("quarter", "2017-01-01T00:00:00-05:00", "2017-04-01T00:00:00-04:00"),
        ("quarter", "2017-06-30T23:59:59-04:00", "2017-07-01T00:00:00-04:00"),
        ("quarter", "2017-11-05T01:30:00-05:00", "2018-01-01T00:00:00-05:00"),
        ("year", "2017-01-01T00:00:00-05:00", "2018-01-01T00:00:00-05:00"),
        ("year", "2017-12-31T23:59:59-05:00", "2018-01-01T00:00:00-05:00"),
        # In New York it is still the old year.
        ("year", "2018-01-01T04:59:59Z", "2018-01-01T00:00:00-05:00"),
        ("year", "2018-01-01T05:00:00Z", "2019-01-01T00:00:00-05:00"),
    ],
)
def test_a_month_a_quarter_and_a_year_end_at_midnight(span: str, at: str, ends: str) -> None:
    end = end_of(Span(span), datetime.fromisoformat(at), NEW_YORK)

    assert end.isoformat() == ends


@pytest.mark.parametrize(
    ("zone", "at", "ends"),
    [
        # October 2017 began at 01:00.
        ("America/Asuncion", "2017-09-05T12:00:00-04:00", "2017-10-01T01:00:00-03:00"),
        # November 2015 had 00:30 twice in Havana: the first midnight.
        ("America/Havana", "2015-10-05T12:00:00-04:00", "2015-11-01T00:00:00-04:00"),
        # At 00:01 of 1 November 2009 it was 23:01 of 31 October again, and October ended twice.
        ("America/St_Johns", "2009-10-31T23:30:00-02:30", "2009-11-01T00:00:00-02:30"),
        ("America/St_Johns", "2009-10-31T23:30:00-03:30", "2009-11-01T00:00:00-03:30"),
    ],
)
def test_knows_the_midnights_that_are_skipped_or_come_twice(zone: str, at: str, ends: str) -> None:
    end = end_of(Span.MONTH, datetime.fromisoformat(at), ZoneInfo(zone))

    assert end.isoformat() == ends


@given(
    at=st.integers(100_000_000, 2_080_000_000).map(lambda at_s: datetime.fromtimestamp(at_s, UTC)),
    span=st.sampled_from(Span),
    zone=st.sampled_from([*ZONES, "America/St_Johns", "America/Havana"]),
)
@example(at=datetime(2009, 11, 1, 3, 0, tzinfo=UTC), span=Span.MONTH, zone="America/St_Johns")
def test_the_end_of_a_span_is_the_first_instant_of_the_next(
    at: datetime, span: Span, zone: str
) -> None:
    end = end_of(span, at, ZoneInfo(zone))

    def number(instant: datetime) -> int:
        shown = _shown(instant, zone)
        per_year = {Span.MONTH: 12, Span.QUARTER: 4, Span.YEAR: 1}[span]
        return shown.year * per_year + (shown.month - 1) * per_year // 12

    assert end.astimezone(UTC) > at
    assert number(end.astimezone(UTC)) == number(at) + 1
    assert number(end.astimezone(UTC) - timedelta(microseconds=1)) == number(at)


@given(
    at=st.integers(1_400_000_000, 2_080_000_000).map(
        lambda at_s: datetime.fromtimestamp(at_s, UTC)
    ),
    periods=st.tuples(
        *[
            st.builds(
                Period,
                months=st.integers(0, 26),
                days=st.integers(0, 70),
                seconds=st.integers(0, 200_000),
            )
        ]
        * 2
    ),
    zone=st.sampled_from(ZONES),
)
@example(
    at=datetime(2017, 2, 1, 12, tzinfo=UTC),
    periods=(Period(days=28), Period(months=1)),
    zone="UTC",
)
@example(
    at=datetime(2017, 3, 11, 17, tzinfo=UTC),
    periods=(Period(seconds=86_400), Period(days=1)),
    zone="America/New_York",
)
def test_what_is_always_shorter_is_over_before(
    at: datetime, periods: tuple[Period, Period], zone: str
) -> None:
    one, other = periods

    if is_always_shorter(one, other):
        assert after(at, one, ZoneInfo(zone)).astimezone(UTC) < after(at, other, ZoneInfo(zone))


@pytest.mark.parametrize(
    ("one", "other", "is_shorter"),
    [
        ("PT1S", "PT2S", True),
        ("PT2S", "PT2S", False),
        ("P1MT1S", "P1MT2S", True),
        ("P27D", "P1M", True),
        ("P28D", "P1M", False),
        ("P1M", "P31D", False),
        ("P1M", "P32D", True),
        ("P364D", "P1Y", True),
        ("P365D", "P1Y", False),
        ("P1Y", "P366D", False),
        ("P1Y", "P367D", True),
        ("PT20H", "P1D", True),
        ("PT23H", "P1D", False),
        ("P2M", "P1M", False),
    ],
)
def test_compares_lengths_whatever_the_month(one: str, other: str, *, is_shorter: bool) -> None:
    assert is_always_shorter(parse_period(one), parse_period(other)) is is_shorter


def test_by_the_stop_watch_a_day_is_24_hours() -> None:
    assert parse_period("P2W1DT12H").stopwatch_s == (15 * 24 + 12) * 3_600


def _by_hand(at: datetime, period: Period, zone: str) -> datetime:
    """The same by other means: month by month, day by day, and by looking at the clock."""
    shown = _shown(at, zone)
    year, month, day = shown.year, shown.month, shown.day
    for _ in range(period.months):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    while not _exists(year, month, day):
        day -= 1
    ordinal = date(year, month, day).toordinal()
    for _ in range(period.days):
        ordinal += 1
    wanted = datetime.combine(date.fromordinal(ordinal), shown.time())
    # Watch the clock of that place in steps of a quarter of an hour, in which all zones change.
    moment = wanted.replace(tzinfo=UTC) - timedelta(hours=30)
    while _shown(moment + timedelta(minutes=15), zone) <= wanted:
        moment += timedelta(minutes=15)
    return moment + (wanted - _shown(moment, zone))


def _shown(at: datetime, zone: str) -> datetime:
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def _exists(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
