"""Reading a log again: verify, rebuild, export and restore, in events a second of one process."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from services.ledger.archive import Restorer, beside, end_of, events
from services.ledger.rebuild import compare
from services.ledger.verify import verify
from services.runtime.database import Database, open_database
from services.runtime.eventlog import EventLog
from services.runtime.migrations import migrate
from tests.bench.figures import Figure
from tests.support.desk import Desk
from tests.support.stack import Stack

PURCHASES = 100_000
MEMBERS = 10_000
_PER_PAGE = 1_000


def measure(stack: Stack) -> list[Figure]:
    """Purchases with their awards, a tenth of them with a redemption, on both databases."""
    with tempfile.TemporaryDirectory(prefix="stampbook-bench-") as folder:
        return [
            *_measure(
                "sqlite", f"sqlite:///{Path(folder) / 'one.db'}", f"sqlite:///{folder}/two.db"
            ),
            *_measure("postgresql", stack.fresh_database(), stack.fresh_database()),
        ]


def _measure(kind: str, url: str, other: str) -> list[Figure]:
    with closing(open_database(url)) as database, closing(open_database(other)) as empty:
        migrate(database, "services.ledger")
        migrate(empty, "services.ledger")
        count = _fill(Desk(database))
        works: dict[str, Callable[[], None]] = {
            "verify": lambda: _verify(database),
            "rebuild_balances": lambda: _rebuild(database),
            "export": lambda: _export(database),
            "restore": lambda: _restore(database, empty),
        }
        return [_figure(f"{name}_{kind}", work, count) for name, work in works.items()]


def _figure(name: str, work: Callable[[], None], count: int) -> Figure:
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    work()
    per_s = count / (time.perf_counter() - began_s)
    per_core_s = count / (time.process_time() - began_cpu_s)
    note = f"{count} events; {per_core_s:,.0f} a second of this process's own core"
    return Figure(f"{name}_events_per_s", round(per_s, 1), "events/s", note=note)


def _fill(desk: Desk) -> int:
    for start in range(0, PURCHASES, _PER_PAGE):
        page = []
        for number in range(start, start + _PER_PAGE):
            member, name = str(number * 7_919 % MEMBERS), f"p-{number}"
            page += [
                desk.purchase(name, member=member),
                desk.award(10, purchase=name, member=member),
            ]
            if number % 10 == 0:
                page.append(desk.redemption(f"s-{number}", 5, member=member))
        desk.send(*page)
    with desk.database.read() as connection:
        return EventLog(desk.database).head(connection).position


def _verify(database: Database) -> None:
    assert verify(database, progress=lambda *_: None).ok


def _rebuild(database: Database) -> None:
    assert compare(database, "balances", progress=lambda *_: None).differences == 0


def _export(database: Database) -> None:
    for _ in (*events(database, after=0), *beside(database)):
        pass


def _restore(database: Database, empty: Database) -> None:
    restorer = Restorer(empty)
    head = restorer.begin()
    page: list[bytes] = []
    for event in events(database, after=0):
        page.append(event)
        if len(page) == _PER_PAGE:
            head, page = restorer.append(head, page), []
    if page:
        restorer.append(head, page)
    with database.read() as connection:
        end = end_of(connection, EventLog(database))
    restorer.finish(end, ())
