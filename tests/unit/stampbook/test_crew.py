"""Roles on threads."""

import threading
import time

from services.runtime.database import DatabaseUnavailable
from stampbook.crew import Crew


def test_works_until_it_is_dismissed() -> None:
    crew = Crew(on_failure=lambda: None)
    began, ended = threading.Event(), threading.Event()

    def run(stop: threading.Event) -> None:
        began.set()
        stop.wait()
        ended.set()

    crew.hire("worker", run)
    assert not began.wait(0.01)
    crew.begin()
    assert began.wait(5)
    crew.dismiss(until_s=time.monotonic() + 5)

    assert ended.is_set()


def test_a_role_that_cannot_go_on_is_reported() -> None:
    failed = threading.Event()
    crew = Crew(on_failure=failed.set)

    def run(_: threading.Event) -> None:
        raise AssertionError("broken")

    crew.hire("worker", run)
    crew.begin()

    assert failed.wait(5)
    crew.dismiss(until_s=time.monotonic() + 5)


def test_a_store_that_is_away_is_waited_for() -> None:
    failed, went_on = threading.Event(), threading.Event()
    crew = Crew(on_failure=failed.set)
    away = [1, 1]

    def run(stop: threading.Event) -> None:
        if away:
            away.pop()
            raise DatabaseUnavailable("away")
        went_on.set()
        stop.wait()

    crew.hire("worker", run)
    crew.begin()

    assert went_on.wait(5)
    crew.dismiss(until_s=time.monotonic() + 5)
    assert not failed.is_set()


def test_who_was_never_begun_can_be_dismissed() -> None:
    crew = Crew(on_failure=lambda: None)
    crew.hire("worker", lambda _: None)

    crew.dismiss(until_s=time.monotonic() + 5)
