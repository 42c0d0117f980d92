"""What a programme's document means, and what can be wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.rewards.domain import errors
from services.rewards.domain.currency import MINOR_DIGITS
from services.rewards.domain.errors import Fault, NotAProgramme, Refused
from services.rewards.domain.period import Period
from services.rewards.domain.programme import Programme, Rule, faults_in, understand
from services.rewards.domain.unit import Life, Unit


def document(**changes: Any) -> dict[str, Any]:
    return {
        "programme": "grocer",
        "currency": "USD",
        "time_zone": "America/New_York",
        "units": {"points": {"expires_after": "P12M"}, "stars": {}},
        "rules": {"base": rule()},
        **changes,
    }


def rule(*, unit: str = "points", points: int = 1, per: str = "10.00") -> dict[str, Any]:
    return {"on": "purchase", "earn": {"unit": unit, "points": points, "per": per}}


def test_understands_the_smallest_programme() -> None:
    assert understand(document(), version=1) == Programme(
        name="grocer",
        version=1,
        currency="USD",
        time_zone=ZoneInfo("America/New_York"),
        merchants=None,
        units={"points": Unit(life=Life(after=Period(months=12))), "stars": Unit()},
        rules=(Rule(name="base", unit="points", points_each=1, per_minor=1_000),),
    )


@pytest.mark.parametrize(
    ("currency", "per", "per_minor"),
    [
        ("USD", "10.00", 1_000),
        ("USD", "10", 1_000),
        ("USD", "0.5", 50),
        ("USD", "10.0000", 1_000),
        ("JPY", "100", 100),
        ("JPY", "100.00", 100),
        ("KWD", "1.005", 1_005),
        ("CLF", "0.0001", 1),
        ("USD", "9999999999.99", 999_999_999_999),
    ],
)
def test_amounts_are_exact_in_the_currencys_smallest_unit(
    currency: str, per: str, per_minor: int
) -> None:
    written = document(currency=currency, rules={"base": rule(per=per)})

    [found] = understand(written, version=1).rules

    assert list(faults_in(written)) == []
    assert found.per_minor == per_minor


@pytest.mark.parametrize(("currency", "per"), [("USD", "0.005"), ("JPY", "0.5"), ("KWD", "1.0001")])
def test_no_amount_is_finer_than_its_currency(currency: str, per: str) -> None:
    [fault] = faults_in(document(currency=currency, rules={"base": rule(per=per)}))

    assert (fault.pointer, fault.code) == ("/rules/base/earn/per", "too-fine")


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"currency": "XXX"}, "/currency", "unknown-currency"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone", "unknown-time-zone"),
        ({"time_zone": "america/new_york"}, "/time_zone", "unknown-time-zone"),
        ({"time_zone": "America"}, "/time_zone", "unknown-time-zone"),
        (
            {"units": {"points": {"expires_after": "P0D"}}},
            "/units/points/expires_after",
            "malformed",
        ),
        ({"rules": {"base": rule(unit="miles")}}, "/rules/base/earn/unit", "unknown-unit"),
        ({"rules": {"base": rule(per="0.00")}}, "/rules/base/earn/per", "out-of-range"),
    ],
)
def test_names_what_is_wrong(changes: dict[str, Any], pointer: str, code: str) -> None:
    [fault] = faults_in(document(**changes))

    assert (fault.pointer, fault.code) == (pointer, code)


def test_names_every_fault_at_once() -> None:
    bad = document(
        time_zone="Nowhere",
        units={"points": {"expires_after": "P"}},
        rules={"base": rule(unit="miles", per="0.001"), "more": rule(unit="stars")},
    )

    assert [fault.pointer for fault in faults_in(bad)] == [
        "/time_zone",
        "/units/points/expires_after",
        "/rules/base/earn/unit",
        "/rules/base/earn/per",
        "/rules/more/earn/unit",
    ]


@pytest.mark.parametrize(
    "blank",
    [
        {},
        dict.fromkeys(document()),
        document(currency=None),
        document(units=None),
        document(units={"points": None}),
        document(rules={"base": None}),
        document(rules={"base": {"on": "purchase", "earn": None}}),
        document(rules={"base": {"on": "purchase", "earn": {"unit": None, "per": None}}}),
    ],
)
def test_does_not_judge_what_is_missing(blank: dict[str, Any]) -> None:
    assert list(faults_in(blank)) == []


def test_does_not_judge_amounts_of_an_unknown_currency() -> None:
    [fault] = faults_in(document(currency="ABC", rules={"base": rule(per="0.001")}))

    assert fault.pointer == "/currency"


@pytest.mark.parametrize(
    ("changes", "merchant", "currency", "holds"),
    [
        ({}, "anyone", "USD", True),
        ({}, "anyone", "EUR", False),
        ({"merchants": ["grocer"]}, "grocer", "USD", True),
        ({"merchants": ["grocer"]}, "baker", "USD", False),
    ],
)
def test_holds_for_its_merchants_and_its_currency(
    changes: dict[str, Any], merchant: str, currency: str, *, holds: bool
) -> None:
    grocer = understand(document(**changes), version=1)

    assert grocer.holds_for(merchant=merchant, currency=currency) is holds


def test_knows_every_currency_that_one_can_pay_with() -> None:
    assert {code: MINOR_DIGITS[code] for code in ("USD", "EUR", "JPY", "KWD", "CLF")} == {
        "USD": 2,
        "EUR": 2,
        "JPY": 0,
        "KWD": 3,
        "CLF": 4,
    }
    assert len(MINOR_DIGITS) == 165
    assert all(len(code) == 3 and code.isupper() for code in MINOR_DIGITS)


def test_every_refusal_has_a_code_a_title_and_a_place_in_the_tree() -> None:
    at = datetime(2017, 1, 1, tzinfo=UTC)
    refusals: list[Refused] = [
        errors.UnknownProgramme("grocer"),
        errors.UnknownVersion("grocer", 2),
        errors.VersionReused("grocer", 2),
        errors.AlreadyActivated(activated_at=at),
        errors.NotActivated(),
        errors.VersionRetired(retired_at=at),
        errors.InThePast(asked_at=at, now=at),
        NotAProgramme([Fault("/currency", "missing", "is missing")]),
    ]

    assert {type(refusal) for refusal in refusals} == set(Refused.__subclasses__())
    for refusal in refusals:
        assert refusal.code.replace("-", "").isalpha()
        assert type(refusal).__doc__
        assert type(refusal).__name__ in (errors.__doc__ or "")
