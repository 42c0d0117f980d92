"""A role as a process: it logs, it stops when told to, it outlives stores that go away."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from time import monotonic

from fastapi import FastAPI

from services.runtime.database import DatabaseUnavailable
from services.runtime.health import PATHS, Health, counter
from services.runtime.settings import RuntimeSettings
from services.runtime.stream import StreamUnavailable
from services.runtime.telemetry import configure_logging, configure_tracing
from services.runtime.web import serve

logger = logging.getLogger(__name__)

RETRY_DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Before each further try; the last one is repeated for as long as it takes."""

Run = Callable[[threading.Event], None]
"""The work of a role: goes on until the event is set, and opens what it needs itself."""


def run_role(
    run: Run, *, service: str, role: str, settings: RuntimeSettings, health: Health
) -> int:
    """Be the process of a role without an API, and answer with its exit status."""
    _configure(service, role, settings)
    with stop_on_signals() as stop, answering(health, settings.host, settings.health_port):
        return 0 if supervise(run, stop, role=role) else 1


def run_api(
    build: Callable[[], FastAPI], *, service: str, settings: RuntimeSettings, role: str = "api"
) -> int:
    """Be the process of an API, and answer with its exit status.

    ``build`` opens the stores; while they are away it is tried again.
    """
    _configure(service, role, settings)

    def run(stop: threading.Event) -> None:
        app = build()
        if not stop.is_set():  # from here on the server listens to signals itself
            serve(app, settings.host, settings.port)

    with stop_on_signals() as stop:
        return 0 if supervise(run, stop, role=role) else 1


def supervise(
    run: Run, stop: threading.Event, *, role: str, delays_s: Sequence[float] = RETRY_DELAYS_S
) -> bool:
    """Run a role until it is told to stop; a store or stream that is away is waited for.

    Returns:
        False when the role failed for another reason, which is logged: whoever restarts processes
        restarts this one.
    """
    retries = counter("role_retries", "A store or the stream was away.", ("role",)).labels(role)
    failures = 0
    while not stop.is_set():
        began = monotonic()
        try:
            run(stop)
        except (DatabaseUnavailable, StreamUnavailable) as error:
            if monotonic() - began > delays_s[-1]:
                failures = 0  # it had recovered in between
            delay_s = delays_s[min(failures, len(delays_s) - 1)]
            failures += 1
            retries.inc()
            logger.warning(
                "unavailable", extra={"role": role, "reason": str(error), "retry_in_s": delay_s}
            )
            stop.wait(delay_s)
        except Exception:
            logger.exception("the role failed", extra={"role": role})
            return False
        else:
            return True
    return True


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; the second signal ends the process at once.

    A handler may interrupt the very code that holds the event's lock, so it only puts the signal
    into a queue that is made for that; a thread does the rest.
    """
    stop = threading.Event()
    signals: SimpleQueue[int] = SimpleQueue()

    def watch() -> None:
        while number := signals.get():
            if stop.is_set():
                os._exit(128 + number)
            logger.info("stopping", extra={"signal": signal.Signals(number).name})
            stop.set()

    threading.Thread(target=watch, name="signals", daemon=True).start()
    before = {
        number: signal.signal(number, lambda number, _: signals.put(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signals.put(0)


@contextmanager
def answering(health: Health, host: str, port: int | None) -> Iterator[int | None]:
    """Answer `PATHS` on a port of its own meanwhile; which one is of interest if it was 0."""
    if port is None:
        yield None
        return
    server = ThreadingHTTPServer((host, port), _handler(health))
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path not in PATHS:
                self.send_error(404)
                return
            status, media_type, body = health.answer(path)
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Whoever asks asks every few seconds."""

    return Handler


def _configure(service: str, role: str, settings: RuntimeSettings) -> None:
    configure_logging(service, role, level=settings.log_level)
    configure_tracing(service, role, endpoint=settings.otlp_endpoint)
