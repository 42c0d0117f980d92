"""The roles of an embedded installation: a thread for each, as in the full one a process."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable

import uvloop

from services.runtime.roles import Run, supervise

_LOG = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.1


class Crew:
    """Roles that work until they are dismissed.

    A role that fails for another reason than a store that is away takes the whole process with it,
    as its own process would end: whoever restarts processes restarts this one.
    """

    def __init__(self, *, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def hire(self, role: str, run: Run) -> None:
        """Add a role, which does not work yet."""
        self._threads.append(
            # A role that does not stop must not keep the process from ending.
            threading.Thread(target=self._work, args=(role, run), name=role, daemon=True)
        )

    def begin(self) -> None:
        """Put everybody to work."""
        for thread in self._threads:
            thread.start()

    def ask_to_stop(self) -> None:
        """Let every role come to its end; returns at once."""
        self._stop.set()

    def dismiss(self, *, until_s: float) -> None:
        """Wait until every role has ended what it had in hand, but no longer than that instant."""
        self.ask_to_stop()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until_s - time.monotonic()))
            if thread.is_alive():
                _LOG.warning("does not stop", extra={"role": thread.name})

    def _work(self, role: str, run: Run) -> None:
        if not supervise(run, self._stop, role=role) and not self._stop.is_set():
            self._on_failure()


def on_a_loop(run: Callable[[asyncio.Event], Awaitable[None]]) -> Run:
    """A role that is asynchronous, as one for a thread: it gets an event loop of its own."""

    def run_on_thread(stop: threading.Event) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until(stop, run))

    return run_on_thread


async def _until(stop: threading.Event, run: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    asked = asyncio.Event()

    async def watch() -> None:
        while not stop.is_set():  # noqa: ASYNC110 - a thread's event, which cannot be awaited
            await asyncio.sleep(_LOOK_EVERY_S)
        asked.set()

    watching = asyncio.create_task(watch())
    try:
        await run(asked)
    finally:
        watching.cancel()
