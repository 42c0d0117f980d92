"""The inspector finds by itself what is not as the log says."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from services.ledger.inspector import NAME, Inspector
from services.runtime.database import Database
from services.runtime.ownership import Ownership
from tests.support.desk import Desk

DAY = timedelta(hours=24)


@pytest.fixture
def desk(database: Database) -> Desk:
    desk = Desk(database)
    desk.send(desk.purchase("p-1"), desk.award(100), desk.redemption("s-1", 90))
    return desk


def differences(view: str) -> float | None:
    return REGISTRY.get_sample_value("stampbook_rebuild_differences", {"view": view})


def test_inspects_once_a_period_and_says_what_it_found(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    inspector, stop = Inspector(desk.footing, every=DAY), threading.Event()
    caplog.set_level(logging.INFO)
    assert inspector.tick(stop) == []

    desk.now += DAY
    sound = inspector.tick(stop)
    assert [found.differences for found in sound] == [0] * len(sound)
    assert sound
    assert differences("balances") == 0
    assert inspector.tick(stop) == []

    with desk.database.write() as connection:
        connection.execute("UPDATE lots SET points_left = 11")
    desk.now += DAY
    inspector.tick(stop)

    assert (differences("balances"), differences("returns")) == (1, 0)
    [error] = [record for record in caplog.records if record.levelno == logging.ERROR]
    said = vars(error)
    assert (said["view"], said["table"], said["position"]) == ("balances", "lots", 3)


def test_one_of_several_inspects(desk: Desk) -> None:
    other = Ownership(desk.database, lambda: desk.now, owner="other", lease=timedelta(seconds=10))
    inspector = Inspector(desk.footing, every=DAY)
    desk.now += DAY
    assert other.acquire(NAME) is not None

    assert inspector.tick(threading.Event()) == []


def test_it_stops_between_two_pages(desk: Desk) -> None:
    inspector, stop = Inspector(desk.footing, every=DAY), threading.Event()
    desk.now += DAY
    stop.set()

    assert inspector.tick(stop) == []


def test_it_is_off_unless_asked_for(desk: Desk) -> None:
    stop = threading.Event()
    stop.set()

    Inspector(desk.footing, every=timedelta()).run(stop)
    assert Inspector(desk.footing, every=timedelta()).tick(stop) == []
