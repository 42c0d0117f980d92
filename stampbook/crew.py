"""The roles of an embedded installation: a thread for each, as in the full one a process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from services.runtime.roles import Run, supervise

_LOG = logging.getLogger(__name__)


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
