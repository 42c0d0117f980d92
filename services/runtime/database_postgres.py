"""The PostgreSQL side of ``database.py``: psycopg 3, COPY BINARY and binary arrays."""

from __future__ import annotations

import contextlib
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import sql as quoting
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from services.runtime.database import (
    NOTHING,
    Conflict,
    DatabaseDamaged,
    DatabaseUnavailable,
    Row,
    Shadow,
    on_sum,
)

_CONNECTIONS_MAX = 10
_WAIT_FOR_CONNECTION_S = 5.0
_COPY_FROM_ROWS = 100  # below, the extra round trips of COPY cost more than it saves
_LISTEN_PAUSE_S = 1.0
# A writer that stalls inside a transaction must not hold its locks for ever.
_OPTIONS = "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"
# Two who make the same table in the same instant: the second may meet its row, or its type.
_EXISTS = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateObject,
)
_PARAMETER = re.compile(r"(?<!:):([a-z_][a-z0-9_]*)")


@lru_cache(maxsize=1_024)
def _translated(sql: str) -> bytes:
    """``:name`` becomes psycopg's binary placeholder; ``IN :keys`` an array test."""
    sql = sql.replace("%", "%%").replace("IN :keys", "= ANY(%(keys)b)")
    sql = sql.replace("(:keys)", "(SELECT unnest(%(keys)b))")
    return _PARAMETER.sub(r"%(\1)s", sql).encode()


class PostgresConnection:
    """One psycopg connection inside a transaction."""

    def __init__(self, raw: psycopg.Connection[Row], types: dict[str, dict[str, str]]) -> None:
        self.raw = raw
        self._types = types

    def execute(self, sql: str, params: Mapping[str, object] = NOTHING) -> int:
        return self.raw.execute(_translated(sql), params).rowcount

    def execute_many(self, sql: str, rows: Sequence[Mapping[str, object]]) -> None:
        with self.raw.cursor() as cursor:
            cursor.executemany(_translated(sql), rows)

    def rows(self, sql: str, params: Mapping[str, object] = NOTHING) -> list[Row]:
        return self.raw.execute(_translated(sql), params, binary=True).fetchall()

    def row(self, sql: str, params: Mapping[str, object] = NOTHING) -> Row | None:
        return self.raw.execute(_translated(sql), params, binary=True).fetchone()

    def pick(
        self, sql: str, keys: Sequence[object], params: Mapping[str, object] = NOTHING
    ) -> list[Row]:
        return self.rows(sql, {**params, "keys": list(keys)}) if keys else []

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        if not rows:
            return
        if len(rows) < _COPY_FROM_ROWS:
            self._insert_arrays(table, columns, rows, on_conflict="")
            return
        types = self._types_of(table)
        names = ", ".join(columns)
        with (
            self.raw.cursor() as cursor,
            cursor.copy(f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)".encode()) as copy,
        ):
            copy.set_types([types[column] for column in columns])
            for row in rows:
                copy.write_row(row)

    def upsert(
        self, table: str, columns: Sequence[str], rows: Sequence[Row], *, key: Sequence[str]
    ) -> None:
        if not rows:
            return
        changes = ", ".join(f"{c} = excluded.{c}" for c in columns if c not in key)
        action = f"DO UPDATE SET {changes}" if changes else "DO NOTHING"
        on_conflict = f" ON CONFLICT ({', '.join(key)}) {action}"
        self._insert_arrays(table, columns, rows, on_conflict=on_conflict)

    def add(
        self, table: str, columns: Sequence[str], rows: Sequence[Row], *, adding: Sequence[str]
    ) -> None:
        if rows:
            on_conflict = f" {on_sum(table, columns, adding)}"
            self._insert_arrays(table, columns, rows, on_conflict=on_conflict)

    def ring(self, bell: str) -> None:
        self.raw.execute("SELECT pg_notify(%s, '')", (bell,))

    def holder_of(self, table: str, column: str, value: str) -> int | None:
        row = self.row(
            f"SELECT pid FROM {table} AS held JOIN pg_locks ON locktype = 'transactionid' "  # noqa: S608
            f"AND granted AND transactionid = held.xmax WHERE {column} = :value",
            {"value": value},
        )
        return None if row is None else int(row[0])

    def cut_off(self, holder: int) -> None:
        self.raw.execute("SELECT pg_terminate_backend(%s)", (holder,))

    def columns(self, table: str) -> Mapping[str, str]:
        return self._types_of(table)

    def shadow(self, table: str, *, key: Sequence[str]) -> Shadow:
        [(schema,)] = self.rows("SELECT current_schema()")
        # Temporary tables are found first; they are not logged, and gone whatever happens.
        self.execute(f"CREATE TEMP TABLE {table} (LIKE {schema}.{table}) ON COMMIT DROP")
        self.execute(f"CREATE UNIQUE INDEX ON pg_temp.{table} ({', '.join(key)})")
        return Shadow(f"{schema}.{table}", f"pg_temp.{table}", tuple(self._types_of(table)))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        try:
            with self.raw.transaction():
                yield
        except psycopg.errors.UniqueViolation as error:
            raise Conflict(str(error)) from error

    def _insert_arrays(
        self, table: str, columns: Sequence[str], rows: Sequence[Row], *, on_conflict: str
    ) -> None:
        types = self._types_of(table)
        arrays = ", ".join(f"%({column})b::{types[column]}[]" for column in columns)
        statement = (
            f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608
            f"SELECT * FROM unnest({arrays}){on_conflict}"
        )
        values = dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))
        self.raw.execute(statement.encode(), values)

    def _types_of(self, table: str) -> dict[str, str]:
        if table not in self._types:
            found = self.raw.execute(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_schema = current_schema() AND table_name = %s "
                "ORDER BY ordinal_position",
                (table,),
            ).fetchall()
            if not found:
                raise LookupError(f"no table {table}")
            self._types[table] = dict(found)
        return self._types[table]


class PostgresDatabase:
    """A PostgreSQL database; its bells are NOTIFY, heard by every process."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._types: dict[str, dict[str, str]] = {}
        self._pool: ConnectionPool[psycopg.Connection[Row]] = ConnectionPool(
            url,
            kwargs={"connect_timeout": 5, "options": _OPTIONS},
            min_size=0,
            max_size=_CONNECTIONS_MAX,
            timeout=_WAIT_FOR_CONNECTION_S,
            # A database that is down is tried again soon, not after growing pauses.
            reconnect_timeout=2,
            open=True,
        )
        self._bells = _Bells(url)

    @contextmanager
    def read(self) -> Iterator[PostgresConnection]:
        # One snapshot for all that is read, as SQLite gives it.
        with self._connection(psycopg.IsolationLevel.REPEATABLE_READ, read_only=True) as found:
            yield found

    @contextmanager
    def write(self, *, is_repeatable: bool = False) -> Iterator[PostgresConnection]:
        with self._connection(psycopg.IsolationLevel.READ_COMMITTED, read_only=False) as found:
            if is_repeatable:
                found.execute("SET LOCAL synchronous_commit = off")
            yield found

    @contextmanager
    def rehearse(self) -> Iterator[PostgresConnection]:
        with self._connection(psycopg.IsolationLevel.REPEATABLE_READ, read_only=False) as found:
            try:
                yield found
            finally:
                found.raw.rollback()

    def listen(self, bell: str, callback: Callable[[], None]) -> Callable[[], None]:
        return self._bells.listen(bell, callback)

    def close(self) -> None:
        self._bells.close()
        self._pool.close()

    @contextmanager
    def _connection(
        self, isolation: psycopg.IsolationLevel, *, read_only: bool
    ) -> Iterator[PostgresConnection]:
        try:
            with self._pool.connection() as raw:
                # Sent with BEGIN, which the first statement brings: no round trip of its own.
                raw.isolation_level = isolation
                raw.read_only = read_only
                yield PostgresConnection(raw, self._types)
        except _EXISTS as error:
            raise Conflict(str(error)) from error
        except (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted) as error:
            raise DatabaseDamaged(str(error)) from error
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed) as error:
            raise DatabaseUnavailable(str(error)) from error


class _Bells:
    """One thread and one connection that listen for all bells of a database."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._callbacks: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def listen(self, bell: str, callback: Callable[[], None]) -> Callable[[], None]:
        self._callbacks[bell].append(callback)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="bells", daemon=True)
            self._thread.start()
        return lambda: self._callbacks[bell].remove(callback)

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=5) as raw:
                    self._hear(raw)
            except psycopg.Error:
                self._stop.wait(_LISTEN_PAUSE_S)

    def _hear(self, raw: psycopg.Connection[Any]) -> None:
        heard: set[str] = set()
        while not self._stop.is_set():
            for bell in set(self._callbacks) - heard:
                raw.execute(quoting.SQL("LISTEN {}").format(quoting.Identifier(bell)))
                heard.add(bell)
                self._call(bell)  # Something may have rung before we listened.
            for note in raw.notifies(timeout=0.5):
                self._call(note.channel)
                if set(self._callbacks) - heard or self._stop.is_set():
                    break

    def _call(self, bell: str) -> None:
        for callback in tuple(self._callbacks[bell]):
            with contextlib.suppress(RuntimeError):  # An event loop that is closed already.
                callback()
