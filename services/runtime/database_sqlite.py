"""The SQLite side of ``database.py``: one file, one writer at a time, many readers."""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from services.runtime.database import (
    NOTHING,
    Conflict,
    DatabaseDamaged,
    DatabaseUnavailable,
    Row,
    Shadow,
    on_sum,
)

_BUSY_TIMEOUT_S = 10.0
_PASSING = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    )
)
_KEYS_PER_QUERY_MAX = 1_024


class SQLiteConnection:
    """One sqlite3 connection inside a transaction."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw
        self.bells: set[str] = set()
        self.shadows: list[str] = []

    def execute(self, sql: str, params: Mapping[str, object] = NOTHING) -> int:
        return self.raw.execute(sql, dict(params)).rowcount

    def execute_many(self, sql: str, rows: Sequence[Mapping[str, object]]) -> None:
        self.raw.executemany(sql, [dict(row) for row in rows])

    def rows(self, sql: str, params: Mapping[str, object] = NOTHING) -> list[Row]:
        return self.raw.execute(sql, dict(params)).fetchall()

    def row(self, sql: str, params: Mapping[str, object] = NOTHING) -> Row | None:
        row: Row | None = self.raw.execute(sql, dict(params)).fetchone()
        return row

    def pick(
        self, sql: str, keys: Sequence[object], params: Mapping[str, object] = NOTHING
    ) -> list[Row]:
        found: list[Row] = []
        for start in range(0, len(keys), _KEYS_PER_QUERY_MAX):
            some = list(keys[start : start + _KEYS_PER_QUERY_MAX])
            # Padded to a power of two, so that few different statements are ever prepared.
            some += [some[-1]] * ((1 << (len(some) - 1).bit_length()) - len(some))
            names = [f"k{index}" for index in range(len(some))]
            in_places = f"IN ({','.join(f':{name}' for name in names)})"
            value_places = f"(VALUES {','.join(f'(:{name})' for name in names)})"
            query = sql.replace("IN :keys", in_places).replace("(:keys)", value_places)
            found += self.rows(query, {**params, **dict(zip(names, some, strict=True))})
        return found

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        places = ",".join("?" * len(columns))
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608
        self.raw.executemany(statement, rows)

    def upsert(
        self, table: str, columns: Sequence[str], rows: Sequence[Row], *, key: Sequence[str]
    ) -> None:
        places = ",".join("?" * len(columns))
        changes = ", ".join(f"{c} = excluded.{c}" for c in columns if c not in key)
        action = f"DO UPDATE SET {changes}" if changes else "DO NOTHING"
        self.raw.executemany(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) "  # noqa: S608
            f"ON CONFLICT ({', '.join(key)}) {action}",
            rows,
        )

    def add(
        self, table: str, columns: Sequence[str], rows: Sequence[Row], *, adding: Sequence[str]
    ) -> None:
        places = ",".join("?" * len(columns))
        self.raw.executemany(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) "  # noqa: S608
            f"{on_sum(table, columns, adding)}",
            rows,
        )

    def ring(self, bell: str) -> None:
        self.bells.add(bell)

    def holder_of(self, table: str, column: str, value: str) -> int | None:  # noqa: ARG002
        return None  # only one connection writes, and it is ours

    def cut_off(self, holder: int) -> None:
        """Nobody to cut off."""

    def columns(self, table: str) -> Mapping[str, str]:
        return {row[1]: row[2].lower() for row in self.raw.execute(f"PRAGMA table_info({table})")}

    def shadow(self, table: str, *, key: Sequence[str]) -> Shadow:
        # Temporary tables are found first, and lie in a file of their own.
        self.raw.execute(
            f"CREATE TEMP TABLE {table} AS SELECT * FROM main.{table} LIMIT 0"  # noqa: S608
        )
        self.raw.execute(f"CREATE UNIQUE INDEX temp.{table}_shadow ON {table} ({', '.join(key)})")
        self.shadows.append(f"temp.{table}")
        return Shadow(f"main.{table}", f"temp.{table}", tuple(self.columns(table)))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self.raw.execute("SAVEPOINT part")
        try:
            yield
        except sqlite3.IntegrityError as error:
            self.raw.execute("ROLLBACK TO part")
            raise Conflict(str(error)) from error
        except BaseException:
            self.raw.execute("ROLLBACK TO part")
            raise
        finally:
            self.raw.execute("RELEASE part")


class SQLiteDatabase:
    """A database in one file; its bells ring inside this process only."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._idle: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._one_writer = threading.Lock()
        self._listeners: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)

    @contextmanager
    def read(self) -> Iterator[SQLiteConnection]:
        with self._connection() as raw:
            raw.execute("BEGIN")
            try:
                yield SQLiteConnection(raw)
            finally:
                raw.execute("ROLLBACK")

    @contextmanager
    def write(self, *, is_repeatable: bool = False) -> Iterator[SQLiteConnection]:
        with self._one_writer, self._connection() as raw:
            # FULL: what was acknowledged survives a power cut, not only a killed process.
            raw.execute(f"PRAGMA synchronous = {'NORMAL' if is_repeatable else 'FULL'}")
            raw.execute("BEGIN IMMEDIATE")
            connection = SQLiteConnection(raw)
            try:
                yield connection
                for shadow in connection.shadows:
                    raw.execute(f"DROP TABLE {shadow}")
                raw.execute("COMMIT")
            except BaseException:
                if raw.in_transaction:
                    raw.execute("ROLLBACK")
                raise
        for bell in connection.bells:
            for callback in tuple(self._listeners[bell]):
                callback()

    def rehearse(self) -> AbstractContextManager[SQLiteConnection]:
        return self.read()  # whose end undoes the shadows too

    def listen(self, bell: str, callback: Callable[[], None]) -> Callable[[], None]:
        self._listeners[bell].append(callback)
        return lambda: self._listeners[bell].remove(callback)

    def close(self) -> None:
        with self._guard:
            for raw in self._idle:
                raw.close()
            self._idle.clear()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._guard:
                raw = self._idle.pop() if self._idle else None
            raw = raw or self._connect()
            try:
                yield raw
            except sqlite3.Error:
                # Whatever state it is in: the next user gets a fresh one.
                raw.close()
                raise
            except BaseException:
                self._give_back(raw)
                raise
            self._give_back(raw)
        except sqlite3.IntegrityError as error:
            raise Conflict(str(error)) from error
        except sqlite3.DatabaseError as error:
            raise _meaning(error, self.path.name) from None

    def _give_back(self, raw: sqlite3.Connection) -> None:
        with self._guard:
            self._idle.append(raw)

    def _connect(self) -> sqlite3.Connection:
        raw = sqlite3.connect(
            self.path,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute("PRAGMA cache_size = -16000")
        return raw


def _meaning(error: sqlite3.DatabaseError, name: str) -> Exception:
    """SQLite's error in the words of ``database``; our own mistakes stay what they are."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, sqlite3.OperationalError) and code is not None:
        return DatabaseUnavailable(f"{name}: {error}") if code & 0xFF in _PASSING else error
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return error
    # What is no database, a broken page, or text that is no UTF-8, which we never wrote.
    return DatabaseDamaged(f"{name}: {error}")
