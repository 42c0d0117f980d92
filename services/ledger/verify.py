"""The auditor's reading: the whole log, every hash, posting, lot and signature, from the start.

It trusts nothing but the bytes of the events: what follows from them is worked out again beside the
tables that the writer keeps, and compared with them. What it remembers is bounded.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.ledger import history
from services.ledger.comparison import Beside
from services.ledger.domain import postings as sides
from services.ledger.replay import (
    TABLES,
    WITHOUT_CONSEQUENCE,
    Inconsistent,
    Replay,
    Told,
)
from services.ledger.verify_tree import TreeReading, Untrue
from services.ledger.wire import Story, stream_of
from services.runtime.database import Connection, Database, DatabaseDamaged, Row
from services.runtime.eventlog import EventLog, event_id_at

_PAGE_SIZE = 2_000
_STORIES_MAX = 100_000
_PAGE = """
SELECT position, stream, version, type, event_id, event, chain FROM events
WHERE position > :after ORDER BY position LIMIT :limit
"""
_EARLIER = """
SELECT this.stream, earlier.version FROM events AS this
JOIN events AS earlier
ON earlier.stream = this.stream AND earlier.version = this.version - 1
WHERE this.position IN :keys AND earlier.position < this.position
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What reading everything again has shown."""

    ok: bool
    events: int  # read and found good
    position: int | None = None  # the first bad one
    fault: str | None = None  # the kinds stand in docs/operations.md
    detail: str | None = None


class _Fault(Exception):
    def __init__(self, position: int, fault: str, detail: str) -> None:
        super().__init__(detail)
        self.position = position
        self.fault = fault


@dataclass(slots=True)
class _Reading:
    """How far it is, and where the stories stand that it met lately."""

    shard: int = 0  # whatever the first event says; the others have to agree
    position: int = 0
    chain: bytes = b""
    versions: dict[str, int] = field(default_factory=dict)


def verify(database: Database, *, progress: Callable[[int, int], None]) -> Verdict:
    """Read everything again; never raises for what is wrong with the data.

    ``progress`` is told now and then how many events of how many have been checked.
    """
    reading = _Reading()
    try:
        with database.rehearse() as connection:
            _read_all(connection, EventLog(database), reading, progress)
    except _Fault as fault:
        return _bad(reading, fault.position, fault.fault, str(fault))
    except (Inconsistent, Untrue) as error:
        reading.position = min(reading.position, error.position - 1)
        return _bad(reading, error.position, error.fault, str(error))
    except (DatabaseDamaged, sqlite3.Error, ValueError, TypeError, OverflowError) as damage:
        # Whatever a broken byte does to the one who reads it: he has found it.
        return _bad(reading, reading.position + 1, "unreadable", str(damage))
    return Verdict(ok=True, events=reading.position)


def _bad(reading: _Reading, position: int, fault: str, detail: str) -> Verdict:
    return Verdict(ok=False, events=reading.position, position=position, fault=fault, detail=detail)


def _read_all(
    connection: Connection,
    log: EventLog,
    reading: _Reading,
    progress: Callable[[int, int], None],
) -> None:
    of = _count(connection)
    tables = [Beside.of(connection, table) for table in TABLES]
    replay, tree = Replay(connection, log), TreeReading()
    while page := connection.rows(_PAGE, {"after": reading.position, "limit": _PAGE_SIZE}):
        _recall(connection, reading, page)
        replay.follow([told for row in page if (told := _check_event(reading, row))])
        tree.follow(connection, [row[-2] for row in page])
        progress(reading.position, of)
    _check_head(connection, reading)
    tree.check(connection)
    _check_tables(tables, reading)
    _check_outcomes(connection, reading)


def _count(connection: Connection) -> int:
    row = connection.row("SELECT position FROM log_head")
    return int(row[0]) if row else 0


def _recall(connection: Connection, reading: _Reading, page: Sequence[Row]) -> None:
    """Know where the stories of a page stand: those not met lately, from the log itself."""
    if len(reading.versions) > _STORIES_MAX:
        reading.versions.clear()
    first: dict[str, int] = {}
    for position, stream, *_ in page:
        if stream not in reading.versions:
            first.setdefault(stream, position)
    reading.versions |= dict.fromkeys(first, 0)
    reading.versions |= dict(connection.pick(_EARLIER, list(first.values())))


def _check_event(reading: _Reading, row: Row) -> Told | None:
    """An event at its place; None when nothing follows from it."""
    position, stream, version, type_, event_id, event, chain = row
    event = bytes(event)
    expected = reading.position + 1
    if position != expected:
        raise _Fault(expected, "gap", f"position {expected} is missing, {position} follows")
    if hashlib.sha256(reading.chain + event).digest() != chain:
        raise _Fault(position, "hash", "the bytes do not give the hash recorded with them")
    if version != reading.versions[stream] + 1:
        raise _Fault(position, "place", f"version {version} of {stream} is out of turn")
    try:
        envelope = history.unfold(event)
        reading.shard = reading.shard if position > 1 else envelope.shard
        is_in_place = (
            (envelope.shard, envelope.position) == (reading.shard, position)
            and (due := event_id_at(envelope.shard, position)) == event_id
            and envelope.id.replace("-", "") == due.hex()
            and envelope.type == type_
        )
        told = None
        if type_ == WITHOUT_CONSEQUENCE:
            story = _story_of_purchase(envelope)
        else:
            told = Told.of(history.read(envelope))
            story = told.story.stream
    except ValueError as error:
        raise _Fault(position, "unreadable", str(error)) from None
    if not is_in_place or story != stream:
        raise _Fault(position, "place", "the event says it belongs somewhere else")
    if told and sum([posting.points for posting in sides.postings(told.event)]):
        raise _Fault(position, "postings", "the two sides of the movement differ")
    reading.position = position
    reading.chain = bytes(chain)
    reading.versions[stream] = version
    return told


def _story_of_purchase(envelope: history.Envelope) -> str:
    purchase = history.purchase_id_in(envelope)
    member = envelope.subject
    if member is not None:
        return stream_of(member)
    return Story(merchant=envelope.merchant, member=None, purchase=purchase).stream


def _check_head(connection: Connection, reading: _Reading) -> None:
    row = connection.row("SELECT position, chain FROM log_head")
    if row is None or row[0] != reading.position:
        detail = f"the log ends at {reading.position}, its head says {row and row[0]}"
        raise _Fault(reading.position + 1, "head", detail)
    if reading.position and bytes(row[1]) != reading.chain:
        raise _Fault(reading.position, "head", "the head's hash is not the last event's")


def _check_tables(tables: Sequence[Beside], reading: _Reading) -> None:
    """Every table that follows from the log holds just what the log adds up to."""
    wrong = [
        (found, beside.table.fault)
        for beside in tables
        if beside.differences()
        for found in beside.first(limit=1)
    ]
    for found, fault in sorted(wrong, key=lambda each: each[0].position or reading.position):
        row = f"{found.table} {found.key}"
        if found.kept is None:
            detail = f"{row} is missing: the log adds up to {found.rebuilt}"
        elif found.rebuilt is None:
            detail = f"{row} is kept, and the log knows nothing of it: {found.kept}"
        else:
            detail = f"{row}: kept is {found.kept}, the log adds up to {found.rebuilt}"
        raise _Fault(found.position or reading.position, fault, detail)


def _check_outcomes(connection: Connection, reading: _Reading) -> None:
    """Every event belongs to one command's outcome: none was forgotten, none claims too much."""
    [(claimed,)] = connection.rows("SELECT coalesce(sum(event_count), 0) FROM outcomes")
    if claimed != reading.position:
        detail = f"outcomes claim {claimed} events, the log holds {reading.position}"
        raise _Fault(reading.position, "outcomes", detail)
