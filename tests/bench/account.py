"""What one command costs at the tenth and at the hundred-thousandth entry of an account."""

from __future__ import annotations

import statistics
import time
from contextlib import closing

from services.runtime.database import open_database
from services.runtime.migrations import migrate
from tests.bench.figures import Figure
from tests.support.desk import Desk
from tests.support.stack import Stack

ENTRIES = 100_000
SAMPLES = 100
ROUNDS = 7


def measure(stack: Stack) -> list[Figure]:
    """One member earns and spends; the writer begins each round with nothing in memory."""
    with closing(open_database(stack.fresh_database())) as database:
        migrate(database, "services.ledger")
        desk = Desk(database)
        _fill(desk, "young", entries=10)
        _fill(desk, "old", entries=ENTRIES)
        costs = [
            (_cost_ms(desk, "young", number), _cost_ms(desk, "old", number))
            for number in range(ROUNDS)
        ]
    young_ms, old_ms = (statistics.median(each) for each in zip(*costs, strict=True))
    ratio = round(old_ms / young_ms, 3)
    note = f"median of {ROUNDS} rounds in turn, {SAMPLES} redemptions each, one a transaction"
    return [
        Figure("command_at_entry_10_ms", round(young_ms, 3), "ms", note=note),
        Figure("command_at_entry_100000_ms", round(old_ms, 3), "ms", young_ms, ratio, note),
    ]


def _fill(desk: Desk, member: str, *, entries: int) -> None:
    for start in range(0, entries, 2_000):
        numbers = range(start, min(start + 2_000, entries))
        desk.send(*(desk.award(1_000, purchase=f"{member}-{n}", member=member) for n in numbers))


def _cost_ms(desk: Desk, member: str, number: int) -> float:
    redemptions = [
        desk.record(desk.redemption(f"{member}-{number}-{sample}", 1, member=member))
        for sample in range(SAMPLES)
    ]
    began_s = time.perf_counter()
    desk.deliver(*([record] for record in redemptions))
    return (time.perf_counter() - began_s) * 1_000 / SAMPLES
