"""The inspector: now and then works every view out again from the log, and compares."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta

from prometheus_client import Gauge

from services.ledger.rebuild import VIEWS, Comparison, compare_all
from services.ledger.replay import Inconsistent
from services.runtime.database import DatabaseUnavailable
from services.runtime.footing import Footing
from services.runtime.health import gauge
from services.runtime.ownership import Fenced, Term

_LOG = logging.getLogger(__name__)
NAME = "ledger.inspector"
_LOOK_EVERY_S = 1.0
_REST = 3.0  # for each second of work: a quarter of a core is enough
_REST_S_MAX = 5.0
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00Z")


class _Stopped(Exception):
    """The process ends, or another inspects."""


class Inspector:
    """Rebuilds at whole multiples of its period since 1970, in one process of all that could."""

    def __init__(self, footing: Footing, *, every: timedelta) -> None:
        self._database = footing.database
        self._ownership = footing.ownership
        self._clock = footing.clock
        self._every = every
        self._done = self._period()

    def run(self, stop: threading.Event) -> None:
        """Inspect until stopped; never where the period is nothing."""
        while not stop.wait(_LOOK_EVERY_S if self._every else None):
            self.tick(stop)

    def tick(self, stop: threading.Event) -> list[Comparison]:
        """Inspect if a new period has begun; returns what was found."""
        if self._period() == self._done:
            return []
        try:
            term = self._ownership.acquire(NAME)
            self._done = self._period()
            if term is None:
                return []
            found = self._inspect(term, stop)
            self._ownership.release(term)
        except (_Stopped, Fenced):
            return []
        except DatabaseUnavailable as error:
            _LOG.warning("not inspected", extra={"reason": str(error)})
            return []
        except (Inconsistent, ValueError) as error:
            _LOG.critical("the log cannot be followed", extra={"reason": str(error)})
            level = _differences()
            for view in VIEWS:
                level.labels(view).set(float("nan"))
            return []
        return found

    def _inspect(self, term: Term, stop: threading.Event) -> list[Comparison]:
        renewed_at = worked_at = self._clock()

        def rest(_: int, __: int) -> None:
            nonlocal renewed_at, worked_at
            now = self._clock()
            rest_s = min((now - worked_at).total_seconds() * _REST, _REST_S_MAX)
            if stop.wait(max(rest_s, 0)):
                raise _Stopped
            worked_at = self._clock()
            if worked_at - renewed_at > self._ownership.lease / 3:
                self._ownership.renew(term)
                renewed_at = worked_at

        found = compare_all(self._database, VIEWS, progress=rest)
        for comparison in found:
            _note(comparison)
        return found

    def _period(self) -> int:
        return (self._clock() - _EPOCH) // self._every if self._every else 0


def _differences() -> Gauge:
    return gauge("rebuild_differences", "Rows that are not as the log says.", ("view",))


def _note(found: Comparison) -> None:
    _differences().labels(found.view).set(found.differences)
    fields = {"view": found.view, "rows": found.rows, "differences": found.differences}
    if not found.differences:
        _LOG.info("as the log says", extra=fields)
        return
    [first, *_] = found.shown
    place = {"table": first.table, "member": first.member, "position": first.position}
    _LOG.error("not as the log says", extra={**fields, **place})
