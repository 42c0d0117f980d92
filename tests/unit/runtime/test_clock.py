"""Instants survive every form they are kept in."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.clock import from_micros, micros, parse_rfc3339, rfc3339, utc_now

OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))
INSTANTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=OFFSETS)  # noqa: DTZ001


@given(at=INSTANTS)
def test_an_instant_survives_as_text_with_its_offset(at: datetime) -> None:
    parsed = parse_rfc3339(rfc3339(at))

    assert parsed == at
    assert parsed.utcoffset() == at.utcoffset()


@given(at=INSTANTS)
def test_an_instant_survives_as_microseconds(at: datetime) -> None:
    assert from_micros(micros(at)) == at


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2017-01-01T12:30:27-05:00", datetime(2017, 1, 1, 17, 30, 27, tzinfo=UTC)),
        ("2017-01-01T12:30:27Z", datetime(2017, 1, 1, 12, 30, 27, tzinfo=UTC)),
        ("2017-01-01t12:30:27z", datetime(2017, 1, 1, 12, 30, 27, tzinfo=UTC)),
        ("2017-01-01T12:30:27.5+00:00", datetime(2017, 1, 1, 12, 30, 27, 500_000, tzinfo=UTC)),
        ("2017-01-01T12:30:27.123456789Z", datetime(2017, 1, 1, 12, 30, 27, 123_456, tzinfo=UTC)),
        ("1969-12-31T23:59:59Z", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_reads_what_rfc_3339_allows(text: str, utc: datetime) -> None:
    assert parse_rfc3339(text) == utc


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2017-01-01",
        "2017-01-01T12:30:27",
        "2017-01-01T12:30Z",
        "20170101T123027Z",
        "2017-02-30T12:30:27Z",
        "2017-01-01T24:00:00Z",
        "2016-12-31T23:59:60Z",
        "2017-01-01T12:30:27+25:00",
        "2017-01-01T12:30:27-05:00:30",
        "2017-01-01T12:30:27.1234567890Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "٢٠١٧-01-01T12:30:27Z",
        "2017-01-01T12:30:27Z\n",
    ],
)
def test_refuses_what_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_rfc3339(text)


def test_writes_utc_as_z() -> None:
    assert rfc3339(datetime(2017, 1, 1, tzinfo=UTC)) == "2017-01-01T00:00:00Z"


def test_an_offset_with_seconds_is_written_in_utc() -> None:
    monrovia = datetime(1971, 6, 1, tzinfo=ZoneInfo("Africa/Monrovia"))  # -00:44:30

    assert rfc3339(monrovia) == "1971-06-01T00:44:30Z"


def test_the_clock_knows_its_offset() -> None:
    assert utc_now().utcoffset() == timedelta(0)
