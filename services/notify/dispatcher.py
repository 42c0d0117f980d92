"""Sends what is queued: a lane for each endpoint that it owns and that has something due.

Killed at any point, it sends at worst a delivery again that arrived but was not noted, under the
same id. Several dispatchers share the endpoints by slots, each held by one of them under a lease;
outcomes of a slot that somebody else took over are not noted any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

import msgspec

from services.notify.book import Book
from services.notify.domain.endpoints import Endpoint
from services.notify.domain.retries import Attempt, Delivered
from services.notify.lane import Lane, Line
from services.notify.sender import Sender
from services.notify.slots import SLOTS, Slots
from services.notify.store import endpoints, history, queue, turns
from services.notify.store.turns import Due, Outcome
from services.runtime.clock import Clock
from services.runtime.database import Database, DatabaseUnavailable
from services.runtime.health import counter, duration_s
from services.runtime.ownership import Ownership
from services.runtime.telemetry import span, valid_traceparent

_LOG = logging.getLogger(__name__)
_LOOK_EVERY_S: Final = 0.25  # for what becomes due by itself; what is queued rings
_LOOK_PAUSE_S: Final = 0.01
_SHARES_EVERY_S: Final = 2.0
_PRUNE_EVERY_S: Final = 60.0
_AFTER_FAILURE_S: Final = 1.0
_DRAIN_S: Final = 0.8  # together with what follows: a process stops within 5 s, embedded in 2
_READERS: Final = 4
_IN_HAND_MAX: Final = 4_096  # deliveries in memory, over all lanes, more or less
_PAGE_MIN, _PAGE_MAX = 8, 256
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much at once, and for how long."""

    lane_width: int  # requests to one endpoint under way at once
    under_way_max: int  # over all endpoints
    keep: timedelta  # what is older is forgotten


class _Traced(msgspec.Struct):
    traceparent: str | None = None


_traced = msgspec.json.Decoder(_Traced).decode


class Dispatcher:
    """Make it and run it once, on an event loop of its own."""

    def __init__(
        self,
        database: Database,
        ownership: Ownership,
        clock: Clock,
        sender: Sender,
        *,
        limits: Limits,
        luck: Callable[[], float] = random.random,
    ) -> None:
        self.now = clock
        self.luck = luck
        self._database = database
        self._sender = sender
        self._limits = limits
        self._slots = Slots(ownership, database)
        self._book = Book(database, self._slots, self._revived)
        self._lanes: dict[int, Lane] = {}
        self._endpoints: dict[int, Endpoint] = {}
        self._generation = -1
        self._rung = asyncio.Event()
        self._room = asyncio.Semaphore(limits.under_way_max)
        self._work: set[asyncio.Task[None]] = set()
        self._readers = ThreadPoolExecutor(_READERS, "notify-read")
        self._attempts = counter("webhook_attempts", "Requests to endpoints.", ("result",))
        self._attempt_s = duration_s("webhook_attempt", "One request to an endpoint.")

    async def run(self, stop: asyncio.Event) -> None:
        """Send until stopped; then let what is under way end, for a moment."""
        loop = asyncio.get_running_loop()

        def ring() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(self._rung.set)

        stop_listening = self._database.listen(queue.BELL, ring)
        helpers = [asyncio.create_task(self._book.keep()), asyncio.create_task(self._tidy())]
        try:
            await self._look_until(stop, helpers)
        finally:
            stop_listening()
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self._drain()
            await self._sender.close()
            self._readers.shutdown()
            self._book.thread.shutdown()

    # What lanes ask for.

    def page_size(self) -> int:
        """The more lanes are busy, the less each takes in hand."""
        busy = sum(not lane.is_idle for lane in self._lanes.values())
        return max(_PAGE_MIN, min(_PAGE_MAX, _IN_HAND_MAX // max(1, busy)))

    async def load(
        self,
        endpoint: Endpoint,
        *,
        fresh_max: int,
        retries_max: int,
        is_newest_first: bool,
        besides: Sequence[str],
    ) -> list[Due]:
        """Retries first: they are the older ones, and no more than have been begun."""

        def page() -> list[Due]:
            found: list[Due] = []
            with self._database.read() as connection:
                for is_retry, limit in ((True, retries_max), (False, fresh_max)):
                    if limit > len(found):
                        found += turns.due(
                            connection,
                            endpoint.number,
                            now=self.now(),
                            is_retry=is_retry,
                            is_newest_first=is_newest_first and not is_retry,
                            besides=besides,
                            limit=limit - len(found),
                        )
            return found

        return await _on(self._readers, page)

    async def send(self, endpoint: Endpoint, key: bytes, due: Due) -> Attempt:
        """One attempt, as soon as fewer than the allowed number are under way."""
        async with self._room:
            with span("notify send", parent=valid_traceparent(_traced(due.body).traceparent)):
                attempt = await self._sender.send(
                    endpoint.url, key, event_id=due.event_id, body=due.body
                )
        self._attempt_s.observe(attempt.latency_ms / 1_000)
        return attempt

    def report(self, lane: Lane, outcome: Outcome) -> None:
        """Have it noted."""
        result = "delivered" if isinstance(outcome.verdict, Delivered) else "failed"
        self._attempts.labels(result).inc()
        self._book.report(lane, outcome)

    def report_end(self, lane: Lane, line: Line) -> None:
        """Give the line back to its lane once what was reported before is noted."""
        self._book.report_end(lane, line)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it; if it fails, the log says why."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._is_over)

    def _is_over(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, DatabaseUnavailable):
            _LOG.warning("the database is away", extra={"reason": str(error)})
        elif error is not None:
            _LOG.error("a lane stumbled", exc_info=error)

    def _revived(self, lane: Lane) -> None:
        """An endpoint took something again after an outage: so it may take the rest at once."""
        number = lane.number
        pull = lambda: queue.pull_forward(self._database, number, now=self.now())  # noqa: E731
        self.begin(_on(self._book.thread, pull))

    # Looking for what is due.

    async def _look_until(self, stop: asyncio.Event, helpers: Sequence[asyncio.Task[None]]) -> None:
        stopping = asyncio.create_task(stop.wait())
        next_share_at_s = 0.0
        while not stop.is_set():
            self._rung.clear()
            pause_s = _LOOK_EVERY_S
            try:
                if asyncio.get_running_loop().time() >= next_share_at_s:
                    await _on(self._book.thread, lambda: self._slots.take_share(self._is_slot_idle))
                    next_share_at_s = asyncio.get_running_loop().time() + _SHARES_EVERY_S
                await self._look()
            except DatabaseUnavailable as error:
                _LOG.warning("the database is away", extra={"reason": str(error)})
                pause_s = _AFTER_FAILURE_S
            rung = asyncio.create_task(self._rung.wait())
            await asyncio.wait(
                (rung, stopping, *helpers), timeout=pause_s, return_when=asyncio.FIRST_COMPLETED
            )
            rung.cancel()
            for helper in helpers:
                if helper.done():
                    helper.result()  # they only end by failing
            await asyncio.sleep(_LOOK_PAUSE_S)

    async def _look(self) -> None:
        def found() -> tuple[int, list[Endpoint] | None, set[int]]:
            with self._database.read() as connection:
                generation = endpoints.generation(connection)
                changed = generation != self._generation
                everybody = endpoints.everybodys(connection) if changed else None
                return generation, everybody, turns.endpoints_due(connection, now=self.now())

        self._generation, everybody, due = await _on(self._readers, found)
        if everybody is not None:
            self._endpoints = {endpoint.number: endpoint for endpoint in everybody}
        self._tend_lanes()
        for number in due:
            if number in self._endpoints and self._slots.is_open(number):
                if number not in self._lanes:
                    endpoint = self._endpoints[number]
                    self._lanes[number] = Lane(endpoint, self, width=self._limits.lane_width)
                self._lanes[number].wake()

    def _tend_lanes(self) -> None:
        """Tell lanes what changed; close those of removed endpoints and of others' slots."""
        for number, lane in list(self._lanes.items()):
            endpoint = self._endpoints.get(number)
            if endpoint and self._slots.is_open(number):
                lane.change(endpoint)
            else:
                lane.close()
            if lane.is_closed and lane.is_idle:
                del self._lanes[number]

    def _is_slot_idle(self, slot: int) -> bool:
        return not any(number % SLOTS == slot for number in tuple(self._lanes))

    async def _tidy(self) -> None:
        prune = lambda: history.prune(self._database, now=self.now(), keep=self._limits.keep)  # noqa: E731
        while True:
            await asyncio.sleep(_PRUNE_EVERY_S)
            with contextlib.suppress(DatabaseUnavailable):
                while await _on(self._readers, prune):
                    pass

    async def _drain(self) -> None:
        for lane in self._lanes.values():
            lane.close()
        if self._work:
            _, late = await asyncio.wait(tuple(self._work), timeout=_DRAIN_S)
            for task in late:  # what it sent is sent again, by whoever comes next
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with contextlib.suppress(TimeoutError, DatabaseUnavailable):  # leases end by themselves
            async with asyncio.timeout(_AFTER_FAILURE_S):
                await self._book.write_now()
                await _on(self._book.thread, self._slots.give_all_back)


async def _on(threads: ThreadPoolExecutor, function: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, function)
