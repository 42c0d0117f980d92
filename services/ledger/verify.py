"""The auditor's reading: the whole log, every hash, every posting, every lot, from the start.

It trusts nothing but the bytes of the events: lots and debts are added up again from them and
compared with the tables that the writer keeps.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from services.ledger import history, wire
from services.ledger.domain import postings as sides
from services.ledger.domain.events import PointsEarned
from services.ledger.store.totals import Totals, difference
from services.ledger.verify_belongings import Owners
from services.runtime.clock import NEVER_US, micros, rfc3339
from services.runtime.database import Connection, Database, DatabaseDamaged, Row
from services.runtime.eventlog import chained, event_id_at

_PAGE_SIZE = 1_000
_PAGE = """
SELECT position, stream, version, type, event_id, event, chain FROM events
WHERE position > :after ORDER BY position LIMIT :limit
"""
_LOTS = """
SELECT lot, points_left, touched, member, unit, points, earned_at, expires_at, expires_text,
    merchant, purchase, position
FROM lots WHERE lot > :after ORDER BY lot LIMIT :limit
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What reading everything again has shown."""

    ok: bool
    events: int  # read and found good
    position: int | None = None  # the first bad one
    # gap, hash, unreadable, place, postings, lots, balance, totals, belongings, outcomes or head
    fault: str | None = None
    detail: str | None = None


class _Fault(Exception):
    def __init__(self, position: int, fault: str, detail: str) -> None:
        super().__init__(detail)
        self.position = position
        self.fault = fault


@dataclass(slots=True)
class _Reading:
    """What has been added up so far."""

    position: int = 0
    chain: bytes = b""
    versions: dict[str, int] = field(default_factory=dict)
    points_left: dict[str, int] = field(default_factory=dict)
    touched: dict[str, int] = field(default_factory=dict)
    earned: dict[str, int] = field(default_factory=dict)  # by lot, a hash of what never changes
    owed: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    totals: Totals = field(default_factory=Totals)
    owners: Owners = field(default_factory=Owners)


def verify(database: Database, *, progress: Callable[[int, int], None]) -> Verdict:
    """Read everything again; never raises for what is wrong with the data.

    ``progress`` is told now and then how many events of how many have been checked.
    """
    reading = _Reading()
    try:
        with database.read() as connection:
            of = _count(connection)
            while page := connection.rows(_PAGE, {"after": reading.position, "limit": _PAGE_SIZE}):
                for row in page:
                    _check_event(reading, row)
                progress(reading.position, of)
            _check_head(connection, reading)
            _check_lots(connection, reading)
            _check_debts(connection, reading)
            _check_totals(connection, reading)
            _check_outcomes(connection, reading)
            _check_owners(connection, reading)
    except _Fault as fault:
        return Verdict(
            ok=False,
            events=reading.position,
            position=fault.position,
            fault=fault.fault,
            detail=str(fault),
        )
    except (DatabaseDamaged, sqlite3.Error, ValueError, TypeError, OverflowError) as damage:
        # Whatever a broken byte does to the one who reads it: he has found it.
        return Verdict(
            ok=False,
            events=reading.position,
            position=reading.position + 1,
            fault="unreadable",
            detail=str(damage),
        )
    return Verdict(ok=True, events=reading.position)


def _count(connection: Connection) -> int:
    row = connection.row("SELECT position FROM log_head")
    return int(row[0]) if row else 0


def _check_event(reading: _Reading, row: Row) -> None:
    position, stream, version, type_, event_id, event, chain = row
    event = bytes(event)
    expected = reading.position + 1
    if position != expected:
        raise _Fault(expected, "gap", f"position {expected} is missing, {position} follows")
    if chained(reading.chain, event) != bytes(chain):
        raise _Fault(position, "hash", "the bytes do not give the hash recorded with them")
    if version != reading.versions.get(stream, 0) + 1:
        raise _Fault(position, "place", f"version {version} of {stream} is out of turn")
    try:
        recorded = history.decode(event)
    except ValueError as error:
        raise _Fault(position, "unreadable", str(error)) from None
    is_in_place = (
        recorded.position == position
        and UUID(recorded.event_id).bytes == bytes(event_id)
        and event_id_at(0, position) == bytes(event_id)
        and _story(recorded) == stream
        and wire.type_of(recorded.event) == type_
    )
    if not is_in_place:
        raise _Fault(position, "place", "the event says it belongs somewhere else")
    wrong = reading.owners.note(recorded)
    if wrong is not None:
        raise _Fault(position, "belongings", wrong)
    _check_postings(reading, recorded)
    reading.position = position
    reading.chain = bytes(chain)
    reading.versions[stream] = version


def _story(recorded: history.Recorded) -> str:
    event = recorded.event
    purchase = getattr(event, "purchase", None)
    return wire.Story(merchant=recorded.merchant, member=recorded.member, purchase=purchase).stream


def _check_postings(reading: _Reading, recorded: history.Recorded) -> None:
    event, position = recorded.event, recorded.position
    postings = sides.postings(event)
    if sum(posting.points for posting in postings):
        raise _Fault(position, "postings", "the two sides of the movement differ")
    times = wire.Times(recorded.occurred_at, recorded.recorded_at)
    reading.totals.note(event, merchant=recorded.merchant, times=times)
    if isinstance(event, PointsEarned):
        if event.lot in reading.points_left:
            raise _Fault(position, "lots", f"lot {event.lot} was earned before")
        reading.points_left[event.lot] = 0
        reading.earned[event.lot] = hash(_as_kept(recorded, event))
    for posting in postings:
        if posting.account is sides.Account.AVAILABLE:
            assert posting.lot is not None
            points_left = reading.points_left.get(posting.lot, 0) + posting.points
            if posting.lot not in reading.points_left or points_left < 0:
                raise _Fault(position, "lots", f"lot {posting.lot} does not hold these points")
            reading.points_left[posting.lot] = points_left
            reading.touched[posting.lot] = position
        elif posting.account is sides.Account.OWED:
            unit = str(getattr(event, "unit", ""))
            reading.owed[_story(recorded), unit] -= posting.points


def _check_head(connection: Connection, reading: _Reading) -> None:
    row = connection.row("SELECT position, chain FROM log_head")
    if row is None or row[0] != reading.position:
        detail = f"the log ends at {reading.position}, its head says {row and row[0]}"
        raise _Fault(reading.position + 1, "head", detail)
    if reading.position and bytes(row[1]) != reading.chain:
        raise _Fault(reading.position, "head", "the head's hash is not the last event's")


def _check_lots(connection: Connection, reading: _Reading) -> None:
    """The table of lots holds just what the log adds up to."""
    wrong: list[tuple[int, str]] = []
    seen = 0
    after = b""
    while page := connection.rows(_LOTS, {"after": after, "limit": _PAGE_SIZE}):
        after = bytes(page[-1][0])
        seen += len(page)
        for raw_lot, points_left, touched, *kept in page:
            lot = str(UUID(bytes=bytes(raw_lot)))
            expected = reading.points_left.get(lot)
            position = reading.touched.get(lot) or int(touched)
            if expected != points_left:
                detail = f"lot {lot} holds {points_left}, the log adds up to {expected}"
                wrong.append((position, detail))
            elif reading.earned[lot] != hash(tuple(kept)) or touched != position:
                wrong.append((position, f"lot {lot} is not kept as it was earned"))
    if wrong:
        position, detail = min(wrong)
        raise _Fault(position, "balance", detail)
    if seen != len(reading.points_left):
        detail = f"{len(reading.points_left)} lots were earned, {seen} are kept"
        raise _Fault(reading.position, "balance", detail)


def _as_kept(recorded: history.Recorded, event: PointsEarned) -> tuple[object, ...]:
    """What the table of lots says of a lot and never changes."""
    end = event.expires_at
    return (
        recorded.member,
        event.unit,
        event.points,
        micros(event.earned_at),
        NEVER_US if end is None else micros(end),
        None if end is None else rfc3339(end),
        recorded.merchant,
        event.purchase,
        recorded.position,
    )


def _check_outcomes(connection: Connection, reading: _Reading) -> None:
    """Every event belongs to one command's outcome: none was forgotten, none claims too much."""
    [(claimed,)] = connection.rows("SELECT coalesce(sum(event_count), 0) FROM outcomes")
    if claimed != reading.position:
        detail = f"outcomes claim {claimed} events, the log holds {reading.position}"
        raise _Fault(reading.position, "outcomes", detail)


def _check_totals(connection: Connection, reading: _Reading) -> None:
    wrong = difference(connection, reading.totals)
    if wrong is not None:
        raise _Fault(reading.position, "totals", wrong)


def _check_owners(connection: Connection, reading: _Reading) -> None:
    differs = reading.owners.differs(connection)
    if differs is not None:
        raise _Fault(reading.position, "belongings", differs)


def _check_debts(connection: Connection, reading: _Reading) -> None:
    kept = {
        (stream, unit): points
        for stream, unit, points in connection.rows("SELECT stream, unit, points FROM debts")
        if points
    }
    owed = {place: points for place, points in reading.owed.items() if points}
    if kept != owed:
        place = min(set(kept.items()) ^ set(owed.items()))[0]
        detail = f"{place[0]} owes {kept.get(place, 0)}, the log adds up to {owed.get(place, 0)}"
        raise _Fault(reading.position, "balance", detail)
