"""The log: the library's own contract for recorders, and what we promise beyond it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest
from eventsourcing.persistence import ApplicationRecorder

from services.runtime.database import Conflict, Database
from services.runtime.eventlog import Entry, EventLog, Filter, Head, chained, event_id_at
from tests.support.databases import migrated

with warnings.catch_warnings():  # the library's tests reset everybody's filters when imported
    from eventsourcing.tests.persistence import (
        ApplicationRecorderTestCase,
        NonInterleavingNotificationIDsBaseCase,
    )


class OnSQLite:
    """An empty log on SQLite for each of the library's tests."""

    database: Database

    @pytest.fixture(autouse=True)
    def _fresh(self, tmp_path: Path) -> Iterator[None]:
        with migrated(f"sqlite:///{tmp_path / 'log.db'}", "services.ledger") as self.database:
            yield


class OnPostgres:
    """An empty log on PostgreSQL for each of the library's tests."""

    database: Database

    @pytest.fixture(autouse=True)
    def _fresh(self, fresh_postgres: str) -> Iterator[None]:
        with migrated(fresh_postgres, "services.ledger") as self.database:
            yield


class Contract(ApplicationRecorderTestCase[ApplicationRecorder]):
    """The library's test case, with ids as text, as ours are."""

    __test__ = False
    database: Database
    ids_made = 0

    def create_recorder(self) -> EventLog:
        return EventLog(self.database)

    def new_originator_id(self) -> str:
        self.ids_made += 1
        return str(uuid5(NAMESPACE_URL, str(self.ids_made)))

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestContractOnSQLite(OnSQLite, Contract):
    __test__ = True


@pytest.mark.postgres
class TestContractOnPostgres(OnPostgres, Contract):
    __test__ = True


class TestOrderOnSQLite(OnSQLite, NonInterleavingNotificationIDsBaseCase):
    create_recorder = Contract.create_recorder
    new_originator_id = Contract.new_originator_id
    ids_made = 0


@pytest.mark.postgres
class TestOrderOnPostgres(OnPostgres, NonInterleavingNotificationIDsBaseCase):
    create_recorder = Contract.create_recorder
    new_originator_id = Contract.new_originator_id
    ids_made = 0


def entry(position: int, stream: str = "member/1", version: int | None = None) -> Entry:
    version = position if version is None else version
    return Entry(stream, version, "t", event_id_at(0, position), b"event %d" % position)


def test_positions_have_no_gaps_and_hashes_are_chained(database: Database) -> None:
    log = EventLog(database)

    with database.write() as connection:
        head = log.append(connection, Head(), [entry(1), entry(2)])
    with database.write() as connection:
        head = log.append(connection, head, [entry(3)])

    chain = chained(chained(chained(b"", b"event 1"), b"event 2"), b"event 3")
    assert head == Head(3, chain)
    with database.read() as connection:
        assert log.head(connection) == head
        assert [at for at, _ in log.page(connection, after=0, limit=10)] == [1, 2, 3]


def test_a_writer_that_is_behind_cannot_append(database: Database) -> None:
    log = EventLog(database)
    with database.write() as connection:
        log.append(connection, Head(), [entry(1)])

    with pytest.raises(Conflict), database.write() as connection:
        log.append(connection, Head(), [entry(1, version=7)])


def test_an_append_that_is_undone_leaves_no_gap(database: Database) -> None:
    log = EventLog(database)
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        log.append(connection, Head(), [entry(1), entry(2)])
        raise ZeroDivisionError

    assert log.max_notification_id() is None
    with database.write() as connection:
        assert log.append(connection, Head(), [entry(1)]).position == 1


def test_pages_hold_what_the_filter_asks_for(database: Database) -> None:
    log = EventLog(database)
    other = Entry("member/2", 1, "other", event_id_at(0, 3), b"event 3")
    with database.write() as connection:
        log.append(connection, Head(), [entry(1), entry(2), other])

    with database.read() as connection:
        of_two = log.page(connection, after=0, limit=10, only=Filter(stream="member/2"))
        of_type = log.page(connection, after=0, limit=10, only=Filter(types=("t", "none")))
        found = log.find(connection, event_id_at(0, 2))

    assert of_two == [(3, b"event 3")]
    assert [at for at, _ in of_type] == [1, 2]
    assert found == (2, b"event 2")


def test_event_ids_are_uuid5_of_the_place() -> None:
    ids = {UUID(bytes=event_id_at(shard, n)) for shard in (0, 1) for n in range(100)}

    assert len(ids) == 200
    assert {id_.version for id_ in ids} == {5}
