"""Which events an endpoint sees."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.notify.domain.endpoints import (
    Endpoint,
    EndpointState,
    Ordering,
    is_wanted,
    short_name,
)
from services.notify.domain.retries import Health

ENDPOINT = Endpoint(
    number=1,
    owner="grocer",
    id="till",
    url="https://shop.example/",
    types=("points.*",),
    ordering=Ordering.MEMBER,
    state=EndpointState.ACTIVE,
    secret="whsec_",
    began_after=0,
    created_at=datetime(2026, 11, 22, tzinfo=UTC),
    health=Health(),
)


@pytest.mark.parametrize(
    ("event_type", "name"),
    [
        ("stampbook.points.earned.v1", "points.earned"),
        ("stampbook.points.taken-back.v12", "points.taken-back"),
        ("points.earned", "points.earned"),
        ("com.example.thing.v1", "com.example.thing.v1"),
    ],
)
def test_names_leave_out_prefix_and_version(event_type: str, name: str) -> None:
    assert short_name(event_type) == name


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*", "points.earned", True),
        ("points.*", "points.earned", True),
        ("points.*", "points.lot.ended", True),
        ("points.*", "points", False),
        ("points.*", "pointsmen.earned", False),
        ("points.earned", "points.earned", True),
        ("points.earned", "points.earned.twice", False),
        ("points", "points.earned", False),
        ("purchase.recorded", "points.earned", False),
    ],
)
def test_a_pattern_means(pattern: str, name: str, fits: bool) -> None:  # noqa: FBT001
    assert is_wanted(name, [pattern]) is fits
    assert is_wanted(name, ["other.*", pattern]) is fits


def test_a_merchant_sees_what_concerns_it() -> None:
    assert ENDPOINT.sees(merchant="grocer", name="points.earned")
    assert not ENDPOINT.sees(merchant="baker", name="points.earned")
    assert not ENDPOINT.sees(merchant=None, name="points.earned")
    assert not ENDPOINT.sees(merchant="grocer", name="purchase.recorded")


def test_the_operator_sees_everything() -> None:
    operators = replace(ENDPOINT, owner="")

    assert operators.sees(merchant="grocer", name="points.earned")
    assert operators.sees(merchant=None, name="points.earned")
    assert not operators.sees(merchant="grocer", name="purchase.recorded")
