"""Processes end as they are told to: in order, within 5 s, with a status that scripts can use."""

import http.client
import http.server
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.support.eventually import eventually
from tests.support.server import free_port

TRACING = """
import os, sys
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = sys.argv[1]
from services.runtime.telemetry import configure_tracing, span

configure_tracing("test", "role", endpoint=sys.argv[1])
with span("work", purchase="17"):
    print("works", flush=True)
"""

Start = Callable[..., subprocess.Popen[str]]

ROLE = """
import sys, threading
from services.runtime.database import DatabaseUnavailable
from services.runtime.health import Health
from services.runtime.roles import run_role
from services.runtime.settings import RuntimeSettings

def run(stop):
    print("runs", flush=True)
    {run}

settings = RuntimeSettings(database_url="none", stream_url="none")
sys.exit(run_role(run, service="test", role="role", settings=settings, health=Health()))
"""

API = """
import asyncio, socket, sys
from fastapi import APIRouter, Request
from services.runtime.database import DatabaseUnavailable
from services.runtime.health import Health
from services.runtime.roles import run_api
from services.runtime.settings import RuntimeSettings
from services.runtime.web import answer, application, ndjson

router = APIRouter()

async def lines():
    yield b"1\\n"
    await asyncio.Event().wait()

@router.get("/follow")
async def follow(request: Request):
    return ndjson(request, lines())

@router.get("/wait")
async def wait():
    await asyncio.Event().wait()

tries = iter([DatabaseUnavailable("not yet"), None])

def build():
    if error := next(tries):
        raise error
    return application("Test", "1", [router], health=Health())

settings = RuntimeSettings(database_url="none", stream_url="none", port=int(sys.argv[1]))
sys.exit(run_api(build, service="test", settings=settings))
"""

API_TOLD_TO_STOP_WHILE_IT_OPENS_ITS_STORES = """
import os, signal, sys, threading
from services.runtime.health import Health
from services.runtime.roles import run_api
from services.runtime.settings import RuntimeSettings
from services.runtime.web import application

def build():
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(0.5)
    return application("Test", "1", [], health=Health())

settings = RuntimeSettings(database_url="none", stream_url="none", port=int(sys.argv[1]))
sys.exit(run_api(build, service="test", settings=settings))
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python programs; those that still run are killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start_program(program: str, *args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *args],
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_program
    for process in started:
        process.kill()
        process.communicate()


def started_role(start: Start, run: str) -> subprocess.Popen[str]:
    process = start(ROLE.format(run=run))
    assert process.stdout is not None
    assert process.stdout.readline() == "runs\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_role_that_is_told_to_stop_ends_with_0(start: Start, number: signal.Signals) -> None:
    process = started_role(start, "stop.wait()")

    process.send_signal(number)
    _, log = process.communicate(timeout=30)

    assert process.returncode == 0
    assert json.loads(log)["signal"] == number.name


def test_the_second_signal_waits_for_nobody(start: Start) -> None:
    # Python may miss a signal until a wait ends that began in the same instant.
    process = started_role(start, "while True: threading.Event().wait(0.1)")

    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    process.stderr.readline()  # the first one has arrived
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=30) == 128 + signal.SIGTERM


def test_an_api_that_is_told_to_stop_before_it_serves_does_not_begin_to(start: Start) -> None:
    process = start(API_TOLD_TO_STOP_WHILE_IT_OPENS_ITS_STORES, str(free_port()))

    assert process.wait(timeout=30) == 0


def test_a_role_that_fails_ends_with_1_and_says_why_in_one_line(start: Start) -> None:
    process = started_role(start, "1 / 0")

    _, log = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "ZeroDivisionError" in json.loads(log)["error"]


def test_a_role_whose_store_is_away_waits_and_can_be_stopped(start: Start) -> None:
    process = started_role(start, "raise DatabaseUnavailable('away')")
    assert process.stdout is not None
    assert process.stdout.readline() == "runs\n"  # again

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert process.returncode == 0


def connected(port: int) -> http.client.HTTPConnection:
    """A connection to an API that is on its way up."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def is_up() -> bool:
        try:
            connection.connect()
        except ConnectionRefusedError:
            return False
        return True

    eventually(is_up)
    return connection


def test_an_api_ends_within_5_s_whatever_is_open(start: Start) -> None:
    port = free_port()
    process = start(API, str(port))
    follower, waiter, idle = (connected(port) for _ in range(3))
    follower.request("GET", "/follow")
    stream = follower.getresponse()
    assert stream.readline() == b"1\n"
    waiter.request("GET", "/wait")
    idle.request("GET", "/healthz")
    idle.getresponse().read()

    process.send_signal(signal.SIGTERM)
    told_at = time.monotonic()
    rest = stream.read()
    refusal = waiter.getresponse()
    process.communicate(timeout=30)

    assert time.monotonic() - told_at < 5
    assert process.returncode == 0
    assert rest == b""
    assert (refusal.status, json.loads(refusal.read())["code"]) == (503, "unavailable")
    for connection in (follower, waiter, idle):
        connection.close()


def test_an_api_whose_store_is_away_at_first_comes_up(start: Start) -> None:
    port = free_port()
    process = start(API, str(port))
    connection = connected(port)

    connection.request("GET", "/healthz")

    assert connection.getresponse().status == 200
    connection.close()
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=30)
    assert json.loads(log.splitlines()[0])["reason"] == "not yet"


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans and remembers how many requests brought some."""

    received: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def test_a_process_that_ends_sends_its_last_spans(start: Start) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        process = start(TRACING, f"http://127.0.0.1:{collector.server_port}")
        _, log = process.communicate(timeout=30)
        collector.shutdown()

    assert (process.returncode, log) == (0, "")
    assert Collector.received == ["/v1/traces"]


def test_a_process_whose_collector_is_away_ends_all_the_same(start: Start) -> None:
    process = start(TRACING, f"http://127.0.0.1:{free_port()}")
    assert process.stdout is not None
    process.stdout.readline()
    traced_at = time.monotonic()

    process.communicate(timeout=30)

    assert time.monotonic() - traced_at < 5
    assert process.returncode == 0
