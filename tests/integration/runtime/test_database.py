"""The small face over SQLite and PostgreSQL: the same behaviour on both."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from services.runtime.database import Conflict, Database, DatabaseUnavailable, open_database
from services.runtime.migrations import SchemaTooNew, check, migrate

PLACES = ("name", "partition", "next_offset", "last_position")


def places(database: Database) -> list[tuple[object, ...]]:
    with database.read() as connection:
        return connection.rows("SELECT name, partition, next_offset FROM positions ORDER BY 1, 2")


def test_what_a_block_wrote_is_there_after_it(database: Database) -> None:
    with database.write() as connection:
        connection.insert("positions", PLACES, [("a", 0, 7, 0), ("a", 1, 8, 0)])

    assert places(database) == [("a", 0, 7), ("a", 1, 8)]


def test_nothing_of_a_block_that_raised_is_there(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        connection.insert("positions", PLACES, [("a", 0, 7, 0)])
        raise ZeroDivisionError

    assert places(database) == []


def test_only_what_can_be_repeated_does_not_wait_for_the_disk(
    database: Database, database_url: str
) -> None:
    is_sqlite = database_url.startswith("sqlite:")
    asked = "PRAGMA synchronous" if is_sqlite else "SHOW synchronous_commit"
    waits: list[bool] = []
    for is_repeatable in (False, True, False):  # connections are used again
        with database.write(is_repeatable=is_repeatable) as connection:
            connection.insert("positions", PLACES, [(f"a{len(waits)}", 0, 7, 0)])
            [(setting,)] = connection.rows(asked)
            waits.append(str(setting) in ("on", "2"))

    assert waits == [True, False, True]


def test_inserting_a_row_that_exists_is_a_conflict(database: Database) -> None:
    with database.write() as connection:
        connection.insert("positions", PLACES, [("a", 0, 7, 0)])

    with pytest.raises(Conflict), database.write() as connection:
        connection.insert("positions", PLACES, [("b", 0, 1, 0), ("a", 0, 8, 0)])

    assert places(database) == [("a", 0, 7)]


def test_upsert_adds_and_overwrites(database: Database) -> None:
    with database.write() as connection:
        connection.insert("positions", PLACES, [("a", 0, 7, 0)])
        rows = [("a", 0, 9, 0), ("b", 0, 1, 0)]
        connection.upsert("positions", PLACES, rows, key=("name", "partition"))

    assert places(database) == [("a", 0, 9), ("b", 0, 1)]


@pytest.mark.parametrize("count", [1, 200])
def test_adding_sums_up_what_is_there_already(database: Database, count: int) -> None:
    rows = [("a", number, 7, 1) for number in range(count)]

    for _ in range(2):
        with database.write() as connection:
            connection.add("positions", PLACES, rows, adding=("next_offset", "last_position"))
            connection.add("positions", PLACES, [], adding=("next_offset", "last_position"))

    assert places(database) == [("a", number, 14) for number in range(count)]


def test_upsert_writes_columns_that_are_null_throughout(database: Database) -> None:
    columns = ("command", "fingerprint", "outcome", "code", "first_position", "event_count")
    row = (b"c" * 16, b"f", "recorded", None, 1, 1)
    with database.write() as connection:
        connection.upsert("outcomes", columns, [row], key=("command",))

    with database.read() as connection:
        found = connection.rows("SELECT code, first_position FROM outcomes")
    assert found == [(None, 1)]


@pytest.mark.parametrize("count", [0, 1, 3, 2_500])
def test_picks_the_rows_of_any_number_of_keys(database: Database, count: int) -> None:
    with database.write() as connection:
        connection.insert("positions", PLACES, [("a", n, n, 0) for n in range(3_000)])

    with database.read() as connection:
        keys = list(range(count))
        found = connection.pick("SELECT partition FROM positions WHERE partition IN :keys", keys)
        joined = connection.pick(
            "WITH wanted(key) AS (:keys) SELECT DISTINCT key, next_offset "
            "FROM wanted JOIN positions ON partition = key",
            keys,
        )

    assert sorted(n for (n,) in found) == keys
    assert sorted(n for n, _ in joined) == keys


def test_a_savepoint_undoes_its_own_part_only(database: Database) -> None:
    with database.write() as connection:
        connection.insert("positions", PLACES, [("kept", 0, 1, 0)])
        with pytest.raises(Conflict), connection.savepoint():
            connection.insert("positions", PLACES, [("undone", 0, 1, 0), ("kept", 0, 2, 0)])
        connection.insert("positions", PLACES, [("after", 0, 1, 0)])

    assert [name for name, *_ in places(database)] == ["after", "kept"]


def test_a_bell_rings_after_the_commit_and_only_then(database: Database) -> None:
    rung = threading.Event()
    stop = database.listen("door", rung.set)
    with database.write() as connection:
        connection.ring("warm-up")
    rung.wait(timeout=2)  # PostgreSQL calls once when it begins to listen.
    rung.clear()

    with pytest.raises(ZeroDivisionError), database.write() as connection:
        connection.ring("door")
        raise ZeroDivisionError
    was_silent = not rung.wait(timeout=0.3)
    with database.write() as connection:
        connection.ring("door")

    assert was_silent
    assert rung.wait(timeout=5)
    stop()


def test_readers_see_nothing_of_an_open_transaction(database: Database) -> None:
    with database.write() as connection:
        connection.insert("positions", PLACES, [("a", 0, 7, 0)])

        assert places(database) == []


def test_a_database_out_of_reach_says_so() -> None:
    database = open_database("postgresql://nobody@127.0.0.1:1/none")

    with closing(database), pytest.raises(DatabaseUnavailable), database.read() as connection:
        connection.rows("SELECT 1")


def test_migrating_twice_changes_nothing(database: Database) -> None:
    migrate(database, "services.ledger")

    assert check(database, "services.ledger") is None


def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    errors: list[Exception] = []

    def start() -> None:
        try:
            with closing(open_database(database_url)) as database:
                migrate(database, "services.ledger")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert errors == []


def test_a_newer_schema_is_not_touched(database: Database) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO schema_versions VALUES ('services.ledger', 999)")

    with pytest.raises(SchemaTooNew, match="999"):
        migrate(database, "services.ledger")
    assert check(database, "services.ledger") is not None
