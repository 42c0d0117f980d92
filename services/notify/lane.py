"""One endpoint's lane: what is in hand for it, what is under way, and how it is answering.

A lane has a bounded width and a bounded hand, so that an endpoint with a million deliveries, or
one that hangs, costs the others nothing. In a line one delivery is under way at a time; when it
arrived the next follows, when it did not the rest of the line goes back to its table.

While an endpoint is ailing only what has been tried already is tried again, by its own schedule,
and now and then one fresh delivery as a probe: so an outage does not turn a long queue into as
many failures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from services.notify.domain import retries
from services.notify.domain.endpoints import Endpoint, EndpointState
from services.notify.domain.retries import Again, Attempt, Delivered
from services.notify.domain.signing import secret_key
from services.notify.store.turns import Due, Outcome


@dataclass(slots=True)
class Line:
    """Deliveries of one line, in order, on their way."""

    name: str
    waiting: deque[Due] = field(default_factory=deque)

    @property
    def is_fresh(self) -> bool:
        """Its first delivery has never been tried."""
        return not self.waiting[0].tries


class Desk(Protocol):
    """What lanes ask of the dispatcher."""

    def now(self) -> datetime:
        """The time."""

    def luck(self) -> float:
        """0 up to 1, drawn at random."""

    def page_size(self) -> int:
        """How many deliveries a lane may take in hand at a time just now."""

    async def load(
        self,
        endpoint: Endpoint,
        *,
        fresh_max: int,
        retries_max: int,
        is_newest_first: bool,
        besides: Sequence[str],
    ) -> list[Due]:
        """The next deliveries that are due at an endpoint."""

    async def send(self, endpoint: Endpoint, key: bytes, due: Due) -> Attempt:
        """Make one attempt, when there is room for it."""

    def report(self, lane: Lane, outcome: Outcome) -> None:
        """Have an outcome written down."""

    def report_end(self, lane: Lane, line: Line) -> None:
        """Release the line once all its outcomes are written down."""

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside everything else."""


class Lane:
    """Sends what is due at one endpoint."""

    def __init__(self, endpoint: Endpoint, desk: Desk, *, width: int) -> None:
        self.endpoint = endpoint
        self.health = self.health_noted = endpoint.health
        self.was_revived = False  # a success ended an outage, and nobody has been told yet
        self._desk = desk
        self._width = width
        self._key = secret_key(endpoint.secret)
        self._in_hand: dict[str, Line] = {}
        self._ready: deque[Line] = deque()
        self._under_way = 0
        self.is_closed = False
        self._is_filling = False
        self._takes_newest = False
        self._quiet_until = self._probe_at = datetime.min.replace(tzinfo=endpoint.created_at.tzinfo)

    @property
    def number(self) -> int:
        """The endpoint's."""
        return self.endpoint.number

    @property
    def is_idle(self) -> bool:
        """Nothing of it is in hand or under way."""
        return not (self._in_hand or self._is_filling)

    def change(self, endpoint: Endpoint) -> None:
        """Go on with what its owner changed."""
        if endpoint is self.endpoint:
            return
        if endpoint.url != self.endpoint.url or endpoint.state != self.endpoint.state:
            self.health = self.health_noted = endpoint.health
            self._quiet_until = self._probe_at = endpoint.created_at
        self.endpoint = endpoint
        if endpoint.state is EndpointState.PAUSED:
            self._put_back(lambda _: True)

    def close(self) -> None:
        """Begin nothing any more; what is under way ends by itself."""
        self.is_closed = True
        self._put_back(lambda _: True)

    def wake(self) -> None:
        """Something may be due."""
        self._start()
        if not self._is_filling and len(self._ready) < self._width and self._may_send():
            self._is_filling = True
            self._desk.begin(self._fill())

    def release(self, line: Line) -> None:
        """The line is as the table says again."""
        del self._in_hand[line.name]
        self.wake()

    def _may_send(self) -> bool:
        is_open = not self.is_closed and self.endpoint.state is EndpointState.ACTIVE
        return is_open and self._desk.now() >= self._quiet_until

    async def _fill(self) -> None:
        """Take the next page in hand."""
        page_size = self._desk.page_size()
        try:
            if len(self._in_hand) >= 2 * page_size:
                return
            if not self.health.is_ailing:
                fresh_max = page_size
            elif self._desk.now() >= self._probe_at:
                fresh_max = 1
                gap = timedelta(seconds=self.health.probe_gap_s)
                self._probe_at = self._desk.now() + gap
            else:
                fresh_max = 0
            self._takes_newest = not self._takes_newest
            found = await self._desk.load(
                self.endpoint,
                fresh_max=fresh_max,
                retries_max=page_size,
                is_newest_first=self._takes_newest,
                besides=[*self._in_hand],
            )
            if self._may_send():
                self._take(found)
        finally:
            self._is_filling = False
        self._start()

    def _take(self, found: Sequence[Due]) -> None:
        for due in found:
            line = self._in_hand.get(due.line)
            if line is None:
                line = self._in_hand[due.line] = Line(due.line)
                self._ready.append(line)
            line.waiting.append(due)

    def _start(self) -> None:
        while self._ready and self._under_way < self._width and self._may_send():
            self._under_way += 1
            self._desk.begin(self._walk(self._ready.popleft()))

    async def _walk(self, line: Line) -> None:
        """Send a line's deliveries one after another, until one does not arrive."""
        try:
            while line.waiting and self._may_send():
                if not await self._try(line.waiting.popleft()):
                    break
        finally:
            self._under_way -= 1
            self._desk.report_end(self, line)
            self._start()

    async def _try(self, due: Due) -> bool:
        attempt = await self._desk.send(self.endpoint, self._key, due)
        verdict = retries.judge(
            attempt,
            tries_before=due.tries,
            first_try_at=due.first_try_at,
            queued_at=due.queued_at,
            failing_since=self.health.failing_since,
            luck=self._desk.luck(),
        )
        self._desk.report(self, Outcome(due, attempt, verdict))
        before, self.health = self.health, self.health.after(verdict, attempt)
        if isinstance(verdict, Delivered):
            self.was_revived |= before.was_outage
            return True
        if isinstance(verdict, Again) and verdict.is_deferral:
            self._quiet_until = max(self._quiet_until, verdict.at)
            self._put_back(lambda _: True)
        if self.health.is_ailing:
            self._put_back(lambda waiting: waiting.is_fresh)
        return False

    def _put_back(self, is_meant: Callable[[Line], bool]) -> None:
        """Let go of lines that have not begun."""
        kept: deque[Line] = deque()
        for line in self._ready:
            if is_meant(line):
                del self._in_hand[line.name]
            else:
                kept.append(line)
        self._ready = kept
