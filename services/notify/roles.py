"""The roles of notify, ready for threads: what its processes and the embedded one are made of."""

from __future__ import annotations

import asyncio
import secrets
import threading
from datetime import timedelta
from typing import Final

import uvloop

from services.notify.application import Notify
from services.notify.dispatcher import Dispatcher, Limits
from services.notify.sender import Guard, Sender
from services.notify.settings import NotifySettings
from services.runtime.clock import Clock
from services.runtime.database import Database
from services.runtime.ownership import Ownership
from services.runtime.roles import Run

_STOP_LOOK_S: Final = 0.1


def use_cases(database: Database, clock: Clock, *, allow_loopback: bool) -> Notify:
    """What the API needs."""
    return Notify(database, clock, random_bytes=secrets.token_bytes, allow_loopback=allow_loopback)


def dispatcher(
    database: Database, ownership: Ownership, clock: Clock, settings: NotifySettings
) -> Run:
    """Sends what is queued, on an event loop of its own; it needs no stream."""
    limits = Limits(
        lane_width=settings.lane_width,
        under_way_max=settings.under_way_max,
        keep=timedelta(days=settings.history_days),
    )

    async def dispatch(stop: threading.Event) -> None:
        stopping = asyncio.Event()
        watching = asyncio.create_task(_until(stop, stopping))
        sender = Sender(
            clock,
            Guard(allow_loopback=settings.allow_loopback),
            timeout=timedelta(seconds=settings.request_timeout_s),
        )
        try:
            await Dispatcher(database, ownership, clock, sender, limits=limits).run(stopping)
        finally:
            watching.cancel()

    def run(stop: threading.Event) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(dispatch(stop))

    return run


async def _until(stop: threading.Event, stopping: asyncio.Event) -> None:
    while not stop.is_set():  # noqa: ASYNC110 - a thread's event, which cannot be awaited
        await asyncio.sleep(_STOP_LOOK_S)
    stopping.set()
