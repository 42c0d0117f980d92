"""Twenty times somebody pulls the plug, and every promise is kept."""

import secrets

import pytest

from tests.chaos.__main__ import table
from tests.chaos.run import run

KILLS = {"embedded": 8, "full": 12}


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name",
    ["embedded", pytest.param("full", marks=[pytest.mark.kafka, pytest.mark.postgres])],
)
def test_keeps_its_promises_whoever_is_killed(name: str) -> None:
    report = run(name, seconds=1, seed=secrets.token_hex(4), kills_min=KILLS[name])

    print(table(report))
    assert report.is_good, table(report)
    assert sum(report.kills.values()) >= KILLS[name]
