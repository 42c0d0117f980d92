"""Waiting without holding a thread: one listener wakes whoever waits for something to happen."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterator

from services.ledger.store.outcomes import Outcome, load_outcomes
from services.runtime.database import Database, DatabaseUnavailable

_LOOK_EVERY_S = 0.5  # a ring is a hint and may be missed


class Bell:
    """A database's bell, heard by any number of coroutines of one event loop."""

    def __init__(self, database: Database, name: str) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next = asyncio.Event()
        self._forget = database.listen(name, self._hear)

    def next(self) -> asyncio.Event:
        """What the next ring sets: ask for it before looking, so that no ring is missed."""
        self._loop = asyncio.get_running_loop()
        return self._next

    def ring(self) -> None:
        """Wake everyone who waits."""
        rung, self._next = self._next, asyncio.Event()
        rung.set()

    def close(self) -> None:
        """Hear no more."""
        self._forget()

    def _hear(self) -> None:
        """On any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(self.ring)


class Wait:
    """Somebody's interest in the outcomes of some commands."""

    def __init__(self, commands: Collection[bytes]) -> None:
        self.missing = set(commands)
        self.found: dict[bytes, Outcome] = {}
        self._complete = asyncio.Event()

    async def within(self, wait_s: float) -> dict[bytes, Outcome]:
        """The outcomes as soon as all are there, or those that are when the time is up."""
        if self.missing:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._complete.wait(), wait_s)
        return self.found

    def tell(self, command: bytes, outcome: Outcome) -> None:
        """One of them was decided."""
        self.found[command] = outcome
        self.missing.discard(command)
        if not self.missing:
            self._complete.set()


class Outcomes:
    """Looks outcomes up for everyone who waits: one read for all of them whenever the bell rings.

    Belongs to one event loop; its task lives only while somebody waits.
    """

    def __init__(self, database: Database, bell: Bell) -> None:
        self._database = database
        self._bell = bell
        self._waits: defaultdict[bytes, list[Wait]] = defaultdict(list)
        self._watch: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def awaiting(self, commands: Collection[bytes]) -> Iterator[Wait]:
        """Listen for the outcomes of these commands: enter before sending them, then wait."""
        wait = Wait(commands)
        for command in wait.missing:
            self._waits[command].append(wait)
        if wait.missing and (self._watch is None or self._watch.done()):
            self._watch = asyncio.create_task(self._tell_all())
        try:
            yield wait
        finally:
            for command in wait.missing:
                self._leave(command, wait)
            if not self._waits:
                self._bell.ring()

    def _leave(self, command: bytes, wait: Wait) -> None:
        others = [other for other in self._waits.pop(command, ()) if other is not wait]
        if others:
            self._waits[command] = others

    async def _tell_all(self) -> None:
        rung = self._bell.next()
        while self._waits:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(rung.wait(), _LOOK_EVERY_S)
            rung = self._bell.next()
            found = await asyncio.to_thread(self._load, list(self._waits))
            for command, outcome in found.items():
                for wait in self._waits.pop(command, ()):
                    wait.tell(command, outcome)

    def _load(self, commands: list[bytes]) -> dict[bytes, Outcome]:
        try:
            with self._database.read() as connection:
                return load_outcomes(connection, commands)
        except DatabaseUnavailable:
            return {}
