"""What a process says about itself: alive, ready, and its metrics."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import cache
from typing import TypedDict

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

PATHS = ("/healthz", "/readyz", "/metrics")

_DURATION_BUCKETS_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0,
)  # fmt: skip


class Check(TypedDict):
    """What one check found."""

    ok: bool
    detail: str


class Health:
    """The named checks of one process. None of its answers needs a key, none tells a secret."""

    def __init__(self, *, check_timeout_s: float = 2.0) -> None:
        self._timeout_s = check_timeout_s
        self._checks: dict[str, Callable[[], str | None]] = {}
        self._running: dict[str, Future[str | None]] = {}
        self._lock = threading.Lock()

    def add(self, name: str, check: Callable[[], str | None]) -> None:
        """Be ready only when ``check`` returns; what it returns is shown. It says no by raising."""
        self._checks[name] = check

    def ready(self) -> tuple[bool, dict[str, Check]]:
        """Run every check on a thread of its own; blocks up to the time-out.

        Who has no checks yet is still waiting for its stores, and not ready.
        """
        with self._lock:
            running = {name: self._run(name, check) for name, check in self._checks.items()}
        wait(running.values(), self._timeout_s)
        found = {name: self._found(future) for name, future in running.items()}
        return bool(found) and all(check["ok"] for check in found.values()), found

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body for one of `PATHS`."""
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest()
        if path == "/healthz":
            return 200, "application/json", b'{"status":"alive"}'
        is_ready, checks = self.ready()
        body = {"status": "ready" if is_ready else "not-ready", "checks": checks}
        return 200 if is_ready else 503, "application/json", msgspec.json.encode(body)

    def _run(self, name: str, check: Callable[[], str | None]) -> Future[str | None]:
        """Start a check; one that still hangs from last time is waited for instead."""
        future = self._running.get(name)
        if future is None or future.done():
            future = self._running[name] = Future()
            threading.Thread(
                target=_settle, args=(future, check), name=f"check-{name}", daemon=True
            ).start()
        return future

    def _found(self, future: Future[str | None]) -> Check:
        if not future.done():
            return Check(ok=False, detail=f"no answer within {self._timeout_s:g} s")
        error = future.exception()
        if error is not None:
            return Check(ok=False, detail=str(error) or type(error).__name__)
        return Check(ok=True, detail=future.result() or "")


def _settle(future: Future[str | None], check: Callable[[], str | None]) -> None:
    try:
        future.set_result(check())
    except Exception as error:  # whatever it is, it is what the check found
        future.set_exception(error)


# One registry per process, prometheus_client's own. Asking twice for a metric gives the same one:
# embedded, several services share the process. Units come last in every name.


@cache
def counter(name: str, meaning: str, labels: tuple[str, ...] = ()) -> Counter:
    """``stampbook_NAME_total``: only ever grows."""
    return Counter(f"stampbook_{name}", meaning, labels)


@cache
def gauge(name: str, meaning: str, labels: tuple[str, ...] = ()) -> Gauge:
    """``stampbook_NAME``: a level, such as a lag in events."""
    return Gauge(f"stampbook_{name}", meaning, labels)


@cache
def duration_s(name: str, meaning: str, labels: tuple[str, ...] = ()) -> Histogram:
    """``stampbook_NAME_seconds``: how long something takes."""
    return Histogram(f"stampbook_{name}_seconds", meaning, labels, buckets=_DURATION_BUCKETS_S)
