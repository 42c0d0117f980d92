"""Where a dispatcher notes what came of its attempts: in batches, one transaction for each.

While one batch is being written the next one gathers, so the busier it is, the less each outcome
costs. Only when its outcomes are noted does a lane get its line back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from services.notify.lane import Lane, Line
from services.notify.slots import Slots
from services.notify.store import endpoints, turns
from services.notify.store.turns import Outcome
from services.runtime.database import Database, DatabaseUnavailable
from services.runtime.ownership import Fenced

_LOG = logging.getLogger(__name__)
_AFTER_FAILURE_S: Final = 1.0


class Book:
    """Notes outcomes on one thread, which also takes care of the slots."""

    def __init__(self, database: Database, slots: Slots, revived: Callable[[Lane], None]) -> None:
        self.thread = ThreadPoolExecutor(1, "notify-book")
        self._database = database
        self._slots = slots
        self._revived = revived
        self._outcomes: list[tuple[Lane, Outcome]] = []
        self._ended: list[tuple[Lane, Line]] = []
        self._reported = asyncio.Event()

    def report(self, lane: Lane, outcome: Outcome) -> None:
        """Note it with the next batch."""
        self._outcomes.append((lane, outcome))
        self._reported.set()

    def report_end(self, lane: Lane, line: Line) -> None:
        """The lane gets the line back when what was reported before is noted."""
        self._ended.append((lane, line))
        self._reported.set()

    async def keep(self) -> None:
        """Write batch after batch, until cancelled."""
        while True:
            await self._reported.wait()
            self._reported.clear()
            await self.write_now()

    async def write_now(self) -> None:
        """Write what was reported; waits as long as the database is away."""
        outcomes, self._outcomes = self._outcomes, []
        ended, self._ended = self._ended, []
        by_lane: defaultdict[Lane, list[Outcome]] = defaultdict(list)
        for lane, outcome in outcomes:
            by_lane[lane].append(outcome)
        while by_lane and not await self._is_written(by_lane):
            pass
        for lane in by_lane:
            if lane.was_revived:
                lane.was_revived = False
                self._revived(lane)
        for lane, line in ended:
            lane.release(line)

    async def _is_written(self, by_lane: dict[Lane, list[Outcome]]) -> bool:
        loop = asyncio.get_running_loop()
        healths = {lane: lane.health for lane in by_lane}
        try:
            await loop.run_in_executor(self.thread, self._write, by_lane)
        except Fenced:
            _LOG.warning("a slot was taken over; its outcomes are not noted")
            await loop.run_in_executor(self.thread, self._slots.confirm)
            for lane in [each for each in by_lane if not self._slots.is_held(each.number)]:
                lane.close()
                del by_lane[lane]
            return False
        except DatabaseUnavailable as error:
            _LOG.warning("outcomes wait for the database", extra={"reason": str(error)})
            await asyncio.sleep(_AFTER_FAILURE_S)
            return False
        for lane, health in healths.items():
            lane.health_noted = health
        return True

    def _write(self, by_lane: dict[Lane, list[Outcome]]) -> None:
        # In the order of endpoints and lines, as everybody locks them.
        lanes = sorted(by_lane, key=lambda lane: lane.number)
        with self._database.write() as connection:
            self._slots.confirm_in(connection, [lane.number for lane in lanes])
            for lane in lanes:
                turns.record(connection, lane.number, by_lane[lane])
                if lane.health != lane.health_noted:
                    endpoints.save_health(connection, lane.number, lane.health)
