"""How long the log stands still when the writer is killed, or stands still itself."""

from __future__ import annotations

from collections.abc import Callable

from tests.bench.figures import Figure
from tests.support.stack import Stack
from tests.support.takeover import LEADER, Pair, writers_under_load

ROUNDS = 3
KILL_S_MAX = 5.0
STOP_S_MAX = 15.0


def measure(stack: Stack) -> list[Figure]:
    """The worst of some rounds; what is frozen is frozen inside a transaction."""
    killed_s = _worst_s(stack, lambda pair: pair.servers[LEADER].kill())
    frozen_s = _worst_s(stack, lambda pair: pair.freeze_leader(in_transaction=True))
    note = f"worst of {ROUNDS}, 1,000 purchases/s, until the standby has written"
    return [
        _figure("takeover_kill_s", killed_s, KILL_S_MAX, f"kill -9; {note}"),
        _figure("takeover_stop_s", frozen_s, STOP_S_MAX, f"SIGSTOP in a transaction; {note}"),
    ]


def _worst_s(stack: Stack, misfortune: Callable[[Pair], object]) -> float:
    taken_s = []
    for _ in range(ROUNDS):
        with writers_under_load(stack) as pair:
            misfortune(pair)
            taken_s.append(pair.takeover_s())
    return max(taken_s)


def _figure(name: str, took_s: float, max_s: float, note: str) -> Figure:
    return Figure(name, round(took_s, 2), "s", max_s, round(took_s / max_s, 3), note)
