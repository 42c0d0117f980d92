"""Does the writer slow down, or swell, as the log grows? Every purchase is another member's."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta

import psutil

from services.ledger.consumer import Writer
from services.ledger.intake import Rules
from services.runtime.clock import utc_now
from services.runtime.database import Database, open_database
from services.runtime.footing import Footing
from services.runtime.migrations import migrate
from services.runtime.ownership import Ownership
from services.runtime.stream import Reader, Record
from tests.bench.figures import Figure
from tests.bench.purchases import purchases
from tests.support.scripted import ScriptedStream
from tests.support.stack import Stack

COUNT = 1_000_000
STRETCH = 100_000  # measured at the beginning and at the end
PAGE = 2_000
CACHE_BYTES_MAX = 32 << 20  # so that it is full long before the end
SWELLS_MB_MAX = 16.0


def measure(stack: Stack) -> list[Figure]:
    """Straight from memory into the writer: Kafka would only be in the way."""
    with closing(open_database(stack.fresh_database())) as database:
        migrate(database, "services.ledger")
        stream = _Endless()
        _writer(database, stream).run(stream.stop)
    first_s, last_s = stream.took_s[0], stream.took_s[-1]
    swelled_mb = round(stream.resident_mb[-1] - stream.resident_mb[0], 1)
    note = (
        f"{STRETCH:,} purchases after {COUNT - STRETCH:,} others, without Kafka; limit: the first"
    )
    return [
        Figure.against(
            "writer_grown_purchases_per_s", STRETCH / last_s, "purchases/s", STRETCH / first_s, note
        ),
        Figure(
            "writer_swelled_mb",
            swelled_mb,
            "MB",
            SWELLS_MB_MAX,
            round(swelled_mb / SWELLS_MB_MAX, 3),
            f"resident, from the first {STRETCH:,} members to {COUNT:,}",
        ),
    ]


def _writer(database: Database, stream: ScriptedStream) -> Writer:
    ownership = Ownership(database, utc_now, owner="bench", lease=timedelta(seconds=30))
    footing = Footing(database=database, stream=stream, ownership=ownership, clock=utc_now)
    rules = Rules(is_accepted_currency=lambda currency: currency == "USD", clock=utc_now)
    return Writer(footing, rules=rules, cache_bytes_max=CACHE_BYTES_MAX)


class _Endless(ScriptedStream):
    """Purchases made on the way, until there were enough; it looks at the clock now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.took_s: list[float] = []
        self.resident_mb: list[float] = []

    def reader(self, topic: str) -> Reader:  # noqa: ARG002
        return _EndlessReader(self)


class _EndlessReader:
    def __init__(self, stream: _Endless) -> None:
        self._stream = stream
        self._templates = list(purchases(PAGE, prefix="grown"))
        self._number = 0
        self._began_s = time.perf_counter()

    def seek(self, offsets: Mapping[int, int]) -> None:
        pass

    def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:  # noqa: ARG002
        if self._number >= COUNT:
            self._stream.stop.set()
            return []
        page = [
            Record(0, self._number + n, "", _anew(each.value, self._number + n), (), 0)
            for n, each in enumerate(self._templates)
        ]
        self._number += PAGE
        if self._number % STRETCH == 0:
            self._look()
        return page

    def _look(self) -> None:
        now_s = time.perf_counter()
        self._stream.took_s.append(now_s - self._began_s)
        self._stream.resident_mb.append(psutil.Process().memory_info().rss / 2**20)
        self._began_s = now_s

    def end_offsets(self) -> dict[int, int]:
        return {}

    def close(self) -> None:
        pass


def _anew(purchase: bytes, number: int) -> bytes:
    """The same purchase by another member, under another id."""
    value = purchase.replace(b'"id":"grown-', b'"id":"%d-' % number, 1)
    return value.replace(b'"member":"', b'"member":"%d-' % number, 1)
