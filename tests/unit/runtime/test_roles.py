"""A role outlives stores that go away, stops when told to, and says why it failed."""

import logging
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from services.runtime.database import DatabaseUnavailable
from services.runtime.health import Health
from services.runtime.roles import answering, stop_on_signals, supervise
from services.runtime.stream import StreamFull, StreamUnavailable
from tests.support.eventually import eventually


def role_of(*runs: Callable[[], None]) -> Callable[[threading.Event], None]:
    """A role that does one thing after the other, each time it is run."""
    todo = iter(runs)

    def run(stop: threading.Event) -> None:
        assert not stop.is_set()
        next(todo)()

    return run


def fails_with(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_a_store_or_stream_that_is_away_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []
    run = role_of(
        fails_with(DatabaseUnavailable("db is away")),
        fails_with(StreamUnavailable("broker is away")),
        fails_with(StreamFull("window is full")),
        lambda: done.append("work"),
    )

    assert supervise(run, threading.Event(), role="writer", delays_s=(0, 0.001))
    assert done == ["work"]
    assert [vars(record)["retry_in_s"] for record in caplog.records] == [0, 0.001, 0.001]
    assert vars(caplog.records[0])["reason"] == "db is away"


def test_any_other_failure_ends_the_role_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    run = role_of(fails_with(ZeroDivisionError("by nought")))

    assert not supervise(run, threading.Event(), role="writer")
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


def test_who_is_told_to_stop_while_waiting_stops() -> None:
    stop = threading.Event()

    def run(_: threading.Event) -> None:
        stop.set()
        raise DatabaseUnavailable("db is away")

    assert supervise(run, stop, role="writer", delays_s=(3600,))


def test_who_is_told_to_stop_before_does_not_begin() -> None:
    stop = threading.Event()
    stop.set()

    assert supervise(role_of(), stop, role="writer")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_event_and_handlers_are_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    with stop_on_signals() as stop:
        signal.raise_signal(number)
        assert stop.wait(30)

    assert signal.getsignal(number) is before
    eventually(lambda: "signals" not in {thread.name for thread in threading.enumerate()})


def ask(port: int | None, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read()


def test_a_role_without_an_api_answers_for_its_health() -> None:
    health = Health()
    health.add("store", lambda: "fine")

    with answering(health, "127.0.0.1", 0) as port:
        assert ask(port, "/healthz") == (200, b'{"status":"alive"}')
        assert ask(port, "/readyz?verbose")[0] == 200
        assert b"stampbook_" in ask(port, "/metrics")[1]
        assert ask(port, "/anything")[0] == 404
        health.add("stream", fails_with(ConnectionError("away")))
        status, body = ask(port, "/readyz")

    assert status == 503
    assert b'"away"' in body


def test_a_role_without_a_health_port_answers_nobody() -> None:
    with answering(Health(), "127.0.0.1", None) as port:
        assert port is None
