"""A table that follows from the log, and the same worked out anew: where they differ."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.ledger.replay import Table
from services.runtime.database import Connection, Row, Shadow

# Columns are compared one by one, whatever they are: those that come later count by themselves.
_DIFFERS = "(kept.{0} <> rebuilt.{0} OR (kept.{0} IS NULL) <> (rebuilt.{0} IS NULL))"
_COUNT = """
SELECT count(*), count(kept.{first}), coalesce(sum(CASE WHEN {differs} THEN 1 ELSE 0 END), 0)
FROM {rebuilt} AS rebuilt LEFT JOIN {kept} AS kept ON {same}
"""
_FIRST = """
WITH found AS (
    SELECT rebuilt.* FROM {rebuilt} AS rebuilt LEFT JOIN {kept} AS kept ON {same}
    WHERE kept.{first} IS NULL OR {differs}
    UNION ALL
    SELECT kept.* FROM {kept} AS kept
    WHERE NOT EXISTS (SELECT 1 FROM {rebuilt} AS rebuilt WHERE {same})
)
SELECT {member}, {position} AS place, {key} FROM found ORDER BY place, {key} LIMIT :limit
"""
_ROW = "SELECT * FROM {table} WHERE {equal}"
_TAKE_AWAY = """
DELETE FROM {table} WHERE {nothing} OR ({key}) IN (
    SELECT {key}
    FROM (SELECT * FROM {kept} AS one EXCEPT SELECT * FROM {rebuilt} AS other) AS surplus
)
"""
_PUT = "INSERT INTO {table} SELECT * FROM {rebuilt} AS one EXCEPT SELECT * FROM {kept} AS other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A row that is not as the log says; of two rows, what differs."""

    table: str
    key: str
    member: str | None
    position: int | None  # of the newest event that had to do with it
    kept: str | None  # None: no such row is kept
    rebuilt: str | None  # None: the log knows no such row


@dataclass(frozen=True, slots=True)
class Beside:
    """A table in use and, beside it, the one that was rebuilt."""

    connection: Connection
    table: Table
    shadow: Shadow

    @classmethod
    def of(cls, connection: Connection, table: Table) -> Beside:
        """Shadow a table: from now on its plain name means the one to be filled."""
        return cls(connection, table, connection.shadow(table.name, key=table.key))

    def rows(self) -> int:
        """Of the rebuilt one."""
        return self._number(self._sql("SELECT count(*) FROM {rebuilt} AS rebuilt"))

    def differences(self) -> int:
        """Rows that are missing, too many, or not alike."""
        [(rebuilt, met, unlike)] = self.connection.rows(self._sql(_COUNT))
        kept = self._number(self._sql("SELECT count(*) FROM {kept} AS kept"))
        return int(rebuilt - met + kept - met + unlike)

    def first(self, *, limit: int) -> list[Difference]:
        """The differences in the order of the log."""
        found = self.connection.rows(self._sql(_FIRST), {"limit": limit})
        return [self._difference(*row) for row in found]

    def put_right(self) -> None:
        """Make the table in use as the rebuilt one is."""
        self.connection.execute(self._sql(_TAKE_AWAY))
        self.connection.execute(self._sql(_PUT))

    def _difference(self, member: str | None, position: int | None, *key: object) -> Difference:
        kept, rebuilt = self._row(self.shadow.table, key), self._row(self.shadow.shadow, key)
        shown = [
            name
            for n, name in enumerate(self.shadow.columns)
            if kept is None or rebuilt is None or kept[n] != rebuilt[n]
        ]
        return Difference(
            table=self.table.name,
            key="/".join(map(_text, key)),
            member=member,
            position=position,
            kept=self._shown(kept, shown),
            rebuilt=self._shown(rebuilt, shown),
        )

    def _row(self, table: str, key: tuple[object, ...]) -> Row | None:
        equal = " AND ".join(f"{name} = :{name}" for name in self.table.key)
        params = dict(zip(self.table.key, key, strict=True))
        return self.connection.row(_ROW.format(table=table, equal=equal), params)

    def _shown(self, row: Row | None, columns: list[str]) -> str | None:
        if row is None:
            return None
        named = dict(zip(self.shadow.columns, row, strict=True))
        return ", ".join(f"{name} {_text(named[name])}" for name in columns)

    def _sql(self, sql: str) -> str:
        parts = {
            "key": ", ".join(self.table.key),
            "first": self.table.key[0],
            "same": " AND ".join(f"kept.{name} = rebuilt.{name}" for name in self.table.key),
            "differs": " OR ".join(map(_DIFFERS.format, self.shadow.columns)),
            "table": self.shadow.table,
            "kept": self._rows_of(self.shadow.table),
            "rebuilt": self._rows_of(self.shadow.shadow),
            "nothing": self.table.nothing or "1 = 0",
            "member": self.table.member,
            "position": self.table.position,
        }
        return sql.format(**parts)

    def _rows_of(self, table: str) -> str:
        nothing = self.table.nothing
        return f"(SELECT * FROM {table} WHERE NOT ({nothing}))" if nothing else table  # noqa: S608

    def _number(self, sql: str) -> int:
        [(number,)] = self.connection.rows(sql)
        return int(number)


def _text(value: object) -> str:
    if isinstance(value, bytes | memoryview):
        raw = bytes(value)
        return str(UUID(bytes=raw)) if len(raw) == 16 else raw.hex()  # noqa: PLR2004  # a UUID's
    return "none" if value is None else str(value)
