"""One small face over SQLite and PostgreSQL: each statement is written once.

SQL uses ``:name`` parameters and the column types TEXT, BIGINT and BYTEA, which both
databases accept. Everything that one step changes is changed in one ``write()`` block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

NOTHING: Mapping[str, object] = {}
Row = tuple[Any, ...]


class DatabaseUnavailable(Exception):
    """The database cannot be reached, or cannot write, at the moment."""


class DatabaseDamaged(DatabaseUnavailable):
    """What is stored cannot be read back: the file or a page of it is broken."""


class Conflict(Exception):
    """A row with this key exists already."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """A table, and the temporary one that stands before it: by names that tell them apart."""

    table: str
    shadow: str
    columns: tuple[str, ...]


class Connection(Protocol):
    """What a transaction can do. Valid only inside its ``with`` block, on one thread."""

    def execute(self, sql: str, params: Mapping[str, object] = NOTHING) -> int:
        """Run one statement; returns the number of rows touched."""

    def execute_many(self, sql: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Run one statement for each row."""

    def rows(self, sql: str, params: Mapping[str, object] = NOTHING) -> list[Row]:
        """All rows of a query."""

    def row(self, sql: str, params: Mapping[str, object] = NOTHING) -> Row | None:
        """The first row of a query, or None."""

    def pick(
        self, sql: str, keys: Sequence[object], params: Mapping[str, object] = NOTHING
    ) -> list[Row]:
        """The rows of a query about many keys; no keys, no query.

        It holds ``IN :keys`` once, or begins with ``WITH wanted(key) AS (:keys)``.
        """

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Add many rows the fastest way there is.

        Raises:
            Conflict: one of them exists.
        """

    def upsert(
        self, table: str, columns: Sequence[str], rows: Sequence[Row], *, key: Sequence[str]
    ) -> None:
        """Add rows, or overwrite all other columns of those whose key exists.

        A key may stand in ``rows`` once only.
        """

    def add(
        self, table: str, columns: Sequence[str], rows: Sequence[Row], *, adding: Sequence[str]
    ) -> None:
        """Add rows, or add to the columns ``adding`` of those whose other columns exist.

        These others are the table's key. A key may stand in ``rows`` once only.
        """

    def ring(self, bell: str) -> None:
        """Wake everyone who listens to this bell, when and if this transaction commits."""

    def holder_of(self, table: str, column: str, value: str) -> int | None:
        """The connection whose open transaction has changed this row: a name for ``cut_off``.

        None: nobody, or the database cannot tell. Does not wait for that transaction.
        """

    def cut_off(self, holder: int) -> None:
        """Close another connection, soon; its transaction is undone."""

    def columns(self, table: str) -> Mapping[str, str]:
        """The columns of a table in their order, and the type of each in small letters."""

    def shadow(self, table: str, *, key: Sequence[str]) -> Shadow:
        """Let an empty table of the same columns stand before a table until the transaction ends.

        The table's plain name means the shadow from now on. The key is unique in both.
        """

    def savepoint(self) -> AbstractContextManager[None]:
        """A part that is undone by itself when its block raises.

        Raises:
            Conflict: a row of this part exists already.
        """


class Database(Protocol):
    """A service's own store."""

    def read(self) -> AbstractContextManager[Connection]:
        """A consistent view; many threads may read at once."""

    def write(self, *, is_repeatable: bool = False) -> AbstractContextManager[Connection]:
        """One transaction: durable when the block ends, undone when it raises.

        Args:
            is_repeatable: a crash of the database may undo it, together with whatever was written
                after it, and the caller then does the same again. So it need not wait for the disk.
        """

    def rehearse(self) -> AbstractContextManager[Connection]:
        """A consistent view as for reading, in which tables may be shadowed; never kept."""

    def listen(self, bell: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each commit that rang, on any thread; returns how to stop.

        A ring is a hint: it may come late, twice, or without a cause.
        """

    def close(self) -> None:
        """Give back every connection."""


def on_sum(table: str, columns: Sequence[str], adding: Sequence[str]) -> str:
    """What ``Connection.add`` does with a row whose key exists, in the words of both databases."""
    key = ", ".join(column for column in columns if column not in adding)
    sums = ", ".join(f"{column} = {table}.{column} + excluded.{column}" for column in adding)
    return f"ON CONFLICT ({key}) DO UPDATE SET {sums}"


def open_database(url: str) -> Database:
    """Open ``sqlite:///absolute/path.db`` or ``postgresql://…``.

    Raises:
        ValueError: the address is of another kind.
    """
    if url.startswith("sqlite:///"):
        # Imported here, so that embedded use loads no PostgreSQL driver.
        from services.runtime.database_sqlite import SQLiteDatabase  # noqa: PLC0415

        return SQLiteDatabase(url.removeprefix("sqlite://"))
    if url.startswith(("postgresql://", "postgres://")):
        from services.runtime.database_postgres import PostgresDatabase  # noqa: PLC0415

        return PostgresDatabase(url)
    raise ValueError(f"a database is sqlite:///PATH or postgresql://…, not {url!r}")
