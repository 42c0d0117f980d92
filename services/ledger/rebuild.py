"""Views of the ledger built again from its log, beside the ones in use, and compared row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.ledger import history
from services.ledger.cache import RESTORER, WRITER
from services.ledger.comparison import Beside, Difference
from services.ledger.replay import TABLES, WITHOUT_CONSEQUENCE, Replay, Told
from services.runtime.clock import micros
from services.runtime.database import Connection, Database
from services.runtime.eventlog import EventLog

VIEWS = {
    "balances": ("lots", "lot_entries", "debts"),
    "returns": ("returned", "purchase_returns"),
    "belongings": ("claims", "cards"),
    "holds": ("holds",),
    "totals": ("movements", "settlements"),
}
_POSITIONS_PER_PAGE = 5_000
_SHOWN_MAX = 100
_PAGE = """
SELECT event FROM events WHERE position > :after AND position <= :until AND type <> :nothing
ORDER BY position
"""
# Every writer is fenced before, and takes over only when the switch is committed or given up: it
# remembers what the tables said. Should the process be killed meanwhile, the lease ends by itself.
_OWNER = "rebuild"
_LEASE = timedelta(hours=1)
_FENCE = """
INSERT INTO owners (name, epoch, owner, lease_until) VALUES (:name, 1, :owner, :until)
ON CONFLICT (name) DO UPDATE
SET epoch = owners.epoch + 1, owner = excluded.owner, lease_until = excluded.lease_until
WHERE owners.owner <> :restorer
"""
_LET_IN = "UPDATE owners SET lease_until = 0 WHERE name = :name AND owner = :owner"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What rebuilding a view has shown."""

    view: str
    events: int  # the log's length
    rows: int  # of the view, as rebuilt
    differences: int
    shown: Sequence[Difference]  # the first ones
    is_switched: bool = False


def compare(database: Database, view: str, *, progress: Progress) -> Comparison:
    """Rebuild a view beside the one in use; nothing is changed.

    Everything is read as of one instant, whatever the writer does meanwhile.

    Raises:
        Inconsistent: the log contradicts itself; `verify` says more.
        ValueError: an event cannot be read; likewise.
    """
    [found] = compare_all(database, [view], progress=progress)
    return found


def compare_all(
    database: Database, views: Iterable[str], *, progress: Progress
) -> list[Comparison]:
    """Several views, for the work of one."""
    with database.rehearse() as connection:
        tables, end = _rebuild(connection, EventLog(database), progress)
        return [_compare(tables, view, end) for view in views]


def switch(database: Database, view: str, *, now: datetime, progress: Progress) -> Comparison:
    """Rebuild a view, and put every row that differs in its place, in one transaction.

    No writer records meanwhile; afterwards it reads anew what it had remembered.

    Raises:
        Inconsistent: as for `compare`; nothing was changed.
        ValueError: likewise.
    """
    owner = {"name": WRITER, "owner": _OWNER}
    with database.write() as connection:
        until = micros(now + _LEASE)
        if not connection.execute(_FENCE, {**owner, "until": until, "restorer": RESTORER}):
            raise ValueError("the log is not restored yet: run `restore` again")
    try:
        with database.write() as connection:
            connection.execute(_LET_IN, owner)  # with all the rest, when this is committed
            tables, end = _rebuild(connection, EventLog(database), progress)
            found = _compare(tables, view, end)
            for name in VIEWS[view]:
                tables[name].put_right()
    except BaseException:
        with database.write() as connection:
            connection.execute(_LET_IN, owner)
        raise
    return replace(found, is_switched=True)


def fill(connection: Connection, log: EventLog, progress: Progress) -> int:
    """Work out all tables of `TABLES` that were shadowed; returns the log's end."""
    end = log.head(connection).position
    replay = Replay(connection, log)
    for after in range(0, end, _POSITIONS_PER_PAGE):
        until = min(after + _POSITIONS_PER_PAGE, end)
        page = connection.rows(
            _PAGE, {"after": after, "until": until, "nothing": WITHOUT_CONSEQUENCE}
        )
        replay.follow([Told.of(history.decode(bytes(event))) for (event,) in page])
        progress(until, end)
    return end


def _rebuild(
    connection: Connection, log: EventLog, progress: Progress
) -> tuple[dict[str, Beside], int]:
    # All of them, lest what follows beside a view is written to a table in use.
    tables = {table.name: Beside.of(connection, table) for table in TABLES}
    return tables, fill(connection, log, progress)


def _compare(tables: Mapping[str, Beside], view: str, end: int) -> Comparison:
    wanted = [tables[name] for name in VIEWS[view]]
    differences = {beside.table.name: beside.differences() for beside in wanted}
    shown = [
        difference
        for beside in wanted
        if differences[beside.table.name]
        for difference in beside.first(limit=_SHOWN_MAX)
    ]
    return Comparison(
        view=view,
        events=end,
        rows=sum(beside.rows() for beside in wanted),
        differences=sum(differences.values()),
        shown=shown[:_SHOWN_MAX],
    )
