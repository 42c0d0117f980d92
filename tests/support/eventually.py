"""Bounded waits on a condition: the only way that a test lets time pass."""

import time
from collections.abc import Callable

POLL_INTERVAL_S = 0.01


def eventually(is_so: Callable[[], object], *, timeout_s: float = 30) -> None:
    """Come back as soon as `is_so()` is true; fail when it is not in time."""
    give_up_at = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < give_up_at, f"not so within {timeout_s} s"
        time.sleep(POLL_INTERVAL_S)
