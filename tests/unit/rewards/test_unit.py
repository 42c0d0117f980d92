"""When points begin and end, on what terms, and which terms make no sense together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.rewards.domain.period import Period, Span
from services.rewards.domain.unit import Life, Terms, Unit, faults_in_unit, understand_unit

NEW_YORK = ZoneInfo("America/New_York")


def faults(**unit: Any) -> list[tuple[str, str]]:
    return [(fault.pointer, fault.code) for fault in faults_in_unit("/units/points", unit)]


def test_a_unit_says_nothing_that_it_does_not_have_to() -> None:
    assert understand_unit({}) == Unit(
        life=None, credited_after=None, terms=Terms(rank=0, shortfall="owe", grace_s=None)
    )


def test_understands_every_term() -> None:
    written = {
        "expires": {"end_of": "year", "after": "P1Y"},
        "credited_after": "P14D",
        "spent_rank": 1,
        "when_spent": "write-off",
        "grace": "P1DT12H",
    }

    assert faults(**written) == []
    assert understand_unit(written) == Unit(
        life=Life(after=Period(months=12), span=Span.YEAR),
        credited_after=Period(days=14),
        terms=Terms(rank=1, shortfall="write-off", grace_s=129_600),
    )


@pytest.mark.parametrize(
    ("lasts", "span", "bought_at", "ends"),
    [
        ("P12M", None, "2016-02-29T12:00:00-05:00", "2017-02-28T12:00:00-05:00"),
        (None, "month", "2017-03-05T12:00:00-05:00", "2017-04-01T00:00:00-04:00"),
        (None, "quarter", "2017-05-05T12:00:00-04:00", "2017-07-01T00:00:00-04:00"),
        (None, "year", "2017-05-05T12:00:00-04:00", "2018-01-01T00:00:00-05:00"),
        ("P1Y", "year", "2017-05-05T12:00:00-04:00", "2019-01-01T00:00:00-05:00"),
        # 29 February, a year later, is 28 February.
        ("P1Y", "month", "2016-02-29T12:00:00-05:00", "2017-03-01T00:00:00-05:00"),
        # The last second of the year, and the first.
        ("P1M", "year", "2017-11-30T23:59:59-05:00", "2018-01-01T00:00:00-05:00"),
        ("P1M", "year", "2017-12-01T00:00:00-05:00", "2019-01-01T00:00:00-05:00"),
    ],
)
def test_points_end_after_a_period_or_with_the_calendar(
    lasts: str | None, span: str | None, bought_at: str, ends: str
) -> None:
    expires = {"end_of": span, **({"after": lasts} if lasts else {})}
    life = understand_unit({"expires": expires} if span else {"expires_after": lasts}).life

    assert life is not None
    assert life.end(datetime.fromisoformat(bought_at), NEW_YORK).isoformat() == ends


def test_the_programmes_clock_says_which_year_it_is() -> None:
    life = Life(span=Span.YEAR)
    bought_at = datetime(2018, 1, 1, 4, 59, tzinfo=UTC)  # still 2017 in New York

    assert life.end(bought_at, NEW_YORK).isoformat() == "2018-01-01T00:00:00-05:00"
    assert life.end(bought_at, ZoneInfo("UTC")).isoformat() == "2019-01-01T00:00:00+00:00"


@pytest.mark.parametrize("place", ["expires_after", "expires/after", "credited_after", "grace"])
def test_names_the_period_that_is_none(place: str) -> None:
    outer, _, inner = place.partition("/")
    said: dict[str, Any] = {outer: {"end_of": "year", inner: "P0D"} if inner else "P0D"}

    assert faults(**said) == [(f"/units/points/{place}", "malformed")]


@pytest.mark.parametrize(
    ("credited_after", "life"),
    [
        ("P14D", {"expires_after": "P14D"}),
        ("P15D", {"expires_after": "P14D"}),
        ("P30D", {"expires_after": "P1M"}),  # which February has not
        ("PT24H", {"expires_after": "P1D"}),  # nor has the day on which clocks are put forward
        ("P1Y", {"expires_after": "P12M"}),
        ("P1Y1D", {"expires": {"end_of": "year", "after": "P1Y"}}),
        ("PT2S", {"expires": {"end_of": "year"}}),  # bought just before midnight
    ],
)
def test_points_are_credited_before_they_end_whatever_the_day(
    credited_after: str, life: dict[str, Any]
) -> None:
    assert faults(credited_after=credited_after, **life) == [
        ("/units/points/credited_after", "too-long")
    ]


@pytest.mark.parametrize(
    ("credited_after", "life"),
    [
        ("P1000Y", {}),  # they never end
        ("P13D", {"expires_after": "P14D"}),
        ("P27D", {"expires_after": "P1M"}),
        ("P1M", {"expires_after": "P1M1D"}),
        ("P1M", {"expires_after": "P35D"}),
        ("PT2S", {"expires_after": "PT3S"}),
        # The end of a month comes later than any instant in it.
        ("P1M", {"expires": {"end_of": "month", "after": "P1M"}}),
    ],
)
def test_takes_what_is_credited_in_time(credited_after: str, life: dict[str, Any]) -> None:
    assert faults(credited_after=credited_after, **life) == []


@pytest.mark.parametrize(
    ("unit", "code"),
    [
        ({"grace": "P14D"}, "not-allowed"),  # they never end
        ({"expires_after": "P1Y", "grace": "P3651D"}, "too-long"),
    ],
)
def test_refuses_a_grace_that_is_none(unit: dict[str, Any], code: str) -> None:
    assert faults(**unit) == [("/units/points/grace", code)]


def test_takes_a_grace_of_ten_years_by_the_stop_watch() -> None:
    assert faults(expires={"end_of": "month"}, grace="P3650D") == []


@pytest.mark.parametrize(
    "unit",
    [
        {"expires_after": None, "credited_after": "P1Y", "grace": "P1D"},
        {"expires": None, "credited_after": "P1Y", "grace": "P1D"},
        {"expires": {"end_of": None}, "credited_after": "P1Y"},
        {"expires": {"after": "P1M"}, "credited_after": "P1Y"},
        {"expires": {"end_of": "year", "after": None}, "credited_after": "P1Y"},
        {"expires_after": "P1Y", "credited_after": None, "grace": None},
    ],
)
def test_does_not_judge_what_was_refused_already(unit: dict[str, Any]) -> None:
    assert faults(**unit) == []
