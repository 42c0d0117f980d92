"""Reading the whole log again while somebody looks on: one at a time, for each takes a core."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.runtime.problems import Problem
from services.runtime.web import NDJSON, ndjson

Progress = Callable[[int, int], None]
"""Is told now and then how many of how many events have been read."""


class _NobodyListens(Exception):
    """The asker is gone; there is no use in reading on."""


class Readings:
    """The one that is under way in this process, if any."""

    def __init__(self) -> None:
        self._turn = threading.Lock()

    def answer(self, request: Request, read: Callable[[Progress], object]) -> Response:
        """Begin to read; the answer is how far it is, line by line, and last what was found.

        Raises:
            Problem: 409 ``already-reading``.
        """
        if not self._turn.acquire(blocking=False):
            detail = "the log is being read again for somebody else; ask when that is done"
            raise Problem(409, "already-reading", detail)
        told: asyncio.Queue[dict[str, int] | None] = asyncio.Queue()
        is_left = threading.Event()
        loop = asyncio.get_running_loop()

        def progress(checked: int, of: int) -> None:
            if is_left.is_set():
                raise _NobodyListens
            loop.call_soon_threadsafe(told.put_nowait, {"checked": checked, "of": of})

        reading = loop.run_in_executor(None, partial(self._read, read, progress))
        reading.add_done_callback(lambda _: told.put_nowait(None))
        return ndjson(request, _lines(told, reading, is_left))

    def _read(self, read: Callable[[Progress], object], progress: Progress) -> object:
        try:
            return read(progress)
        except _NobodyListens:
            return None
        finally:
            self._turn.release()


def described() -> dict[int | str, dict[str, Any]]:
    """The answer of such a door, for its description."""
    return {
        200: {
            "description": "How far it is, a line each, `{checked, of}`; last what was found.",
            "content": {NDJSON: {"schema": {"type": "string"}}},
        }
    }


async def _lines(
    told: asyncio.Queue[dict[str, int] | None],
    reading: asyncio.Future[object],
    is_left: threading.Event,
) -> AsyncIterator[bytes]:
    try:
        while (line := await told.get()) is not None:
            yield msgspec.json.encode(line) + b"\n"
        found = msgspec.to_builtins(reading.result())
        shown = {name: value for name, value in found.items() if value is not None}
        yield msgspec.json.encode(shown) + b"\n"
    finally:
        is_left.set()
