"""Bounded waits on a condition, for coroutines."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def soon(
    ask: Callable[[], Awaitable[T]], is_so: Callable[[T], object], *, timeout_s: float = 30
) -> T:
    """Ask again and again, and come back with the first answer that is so."""
    give_up_at = time.monotonic() + timeout_s
    while not is_so(found := await ask()):
        assert time.monotonic() < give_up_at, f"not so within {timeout_s} s: {found}"
        await asyncio.to_thread(time.sleep, 0.01)
    return found
