"""A ledger taken out of its database, and put into an empty one.

The log's events are all that has to be taken, byte by byte, and what does not follow from them:
`BESIDE`. Who reads what how far, and who owns what, belongs to an installation and stays there.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec

from services.ledger import history
from services.ledger.cache import RESTORER, WRITER
from services.ledger.replay import Replay, Told
from services.runtime.clock import NEVER_US
from services.runtime.database import Connection, Database
from services.runtime.eventlog import EventLog, Head
from services.runtime.shards import DEAL
from services.runtime.tree import root_at

BESIDE: Final[Mapping[str, str]] = {
    "outcomes": "command",
    "waiting_returns": "command",
    "keys": "key_id",
    "dead_letters": "id",
    "signing_keys": "verifier",
    "checkpoints": "log",
    "cosignatures": "witness",
    "positions": "name",
}
"""The tables that do not follow from the log, each with the column that is its key."""

OF_THE_INSTALLATION: Final = frozenset({"owners", "schema_versions"})

_ROWS_PER_PAGE = 2_000
_NAMESPACE = UUID("5d0b9f39-3c85-5f5c-9c2c-5c0d6c3b7a55")
_EVENTS = """
SELECT event FROM events WHERE position > :after AND position <= :until ORDER BY position
"""
_HOLD = """
INSERT INTO owners (name, epoch, owner, lease_until) VALUES (:name, 1, :owner, :never)
ON CONFLICT (name) DO UPDATE SET lease_until = excluded.lease_until
WHERE owners.owner = excluded.owner
"""


class NotEmpty(Exception):
    """The database holds a ledger already."""


class Differs(Exception):
    """What is in the database is not the beginning of what is to be restored."""


class End(msgspec.Struct, frozen=True):
    """The end of a log: what whoever has all of it must come to."""

    position: int
    chain: str  # hex; empty for an empty log
    root: str  # hex: of the Merkle tree over it


def events(database: Database, *, after: int) -> Iterator[bytes]:
    """All events after a position, up to the end that the log has meanwhile."""
    while True:
        with database.read() as connection:
            until = after + _ROWS_PER_PAGE
            page = connection.rows(_EVENTS, {"after": after, "until": until})
        if not page:
            return
        yield from (bytes(event) for (event,) in page)
        after += len(page)


def beside(database: Database) -> Iterator[bytes]:
    """The log's end and every row of `BESIDE`, as of one instant: JSON, a line each.

    The last line says how many rows there were, so that whoever gets fewer knows.
    """
    count = 0
    with database.read() as connection:
        yield msgspec.json.encode(end_of(connection, EventLog(database)))
        for table, key in BESIDE.items():
            for row in _rows(connection, table, key):
                count += 1
                yield msgspec.json.encode({"table": table, "row": row})
    yield msgspec.json.encode({"rows": count})


def end_of(connection: Connection, log: EventLog) -> End:
    """Where the log ends."""
    head = log.head(connection)
    return End(head.position, head.chain.hex(), (root_at(connection, head.position) or b"").hex())


def _rows(connection: Connection, table: str, key: str) -> Iterator[dict[str, object]]:
    names = list(connection.columns(table))
    place = names.index(key)
    after: object = None
    while True:
        # Of all places only the one that is for ever: which shard of how many this log is.
        wheres = [f"{key} = '{DEAL}'"] if table == "positions" else []
        wheres += [] if after is None else [f"{key} > :after"]
        where = f"WHERE {' AND '.join(wheres)}" if wheres else ""
        page = connection.rows(
            f"SELECT {', '.join(names)} FROM {table} {where} ORDER BY {key} LIMIT :limit",  # noqa: S608
            {"limit": _ROWS_PER_PAGE} | ({} if after is None else {"after": after}),
        )
        for row in page:
            yield dict(zip(names, row, strict=True))
        if len(page) < _ROWS_PER_PAGE:
            return
        after = page[-1][place]


class Restorer:
    """Puts a log into a database that holds none; a new one goes on where another was stopped."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._log = EventLog(database)

    def begin(self) -> Head:
        """Keep every writer out until `finish`; returns how far the log is restored.

        Raises:
            NotEmpty: this is a ledger, and not one that is being restored.
        """
        with self._database.write() as connection:
            head = self._log.head(connection)
            [(commands,)] = connection.rows("SELECT count(*) FROM outcomes")
            owner = connection.row("SELECT owner FROM owners WHERE name = :name", {"name": WRITER})
            is_ours = owner is not None and owner[0] == RESTORER
            if not is_ours and (head.position or commands):
                raise NotEmpty(f"the database holds a ledger of {head.position} events")
            connection.execute("DELETE FROM owners WHERE name = :name", {"name": WRITER})
            connection.execute(_HOLD, {"name": WRITER, "owner": RESTORER, "never": NEVER_US})
        return head

    def append(self, head: Head, raws: Sequence[bytes]) -> Head:
        """Put the next events at the end, with all that follows from them.

        Raises:
            Inconsistent: they cannot follow what is there.
            ValueError: one of them is no event that this release knows.
        """
        told = [Told.of(history.decode(raw)) for raw in raws]
        # What a crash of the database undoes is appended again.
        with self._database.write(is_repeatable=True) as connection:
            return Replay(connection, self._log).append(head, told, raws)

    def finish(self, end: End, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Add what does not follow from the log, and let writers in: in one transaction.

        Raises:
            Differs: the log that was restored does not end as it should.
        """
        with self._database.write() as connection:
            found = end_of(connection, self._log)
            if found != end:
                raise Differs(f"restored is {found}, and it should be {end}")
            pages: dict[str, list[Mapping[str, Any]]] = {table: [] for table in BESIDE}
            for table, row in rows:
                pages[table].append(row)
                if len(pages[table]) == _ROWS_PER_PAGE:
                    _insert(connection, table, pages[table])
                    pages[table] = []
            for table, page in pages.items():
                _insert(connection, table, page)
            connection.execute("DELETE FROM owners WHERE name = :name", {"name": WRITER})


def _insert(connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    columns = connection.columns(table)
    # A column that the archive's release did not have yet is left to its default.
    names = [name for name in columns if name in rows[0]]
    connection.insert(
        table, names, [tuple(_value(table, n, columns[n], row[n]) for n in names) for row in rows]
    )


def _value(table: str, column: str, type_: str, value: Any) -> object:
    if type_ != "bytea" or value is None:
        return value
    raw = b64decode(value)
    if (table, column) == ("dead_letters", "id"):
        # Named after its place on a topic, which another letter may have on a new topic.
        return uuid5(_NAMESPACE, raw.hex()).bytes
    return raw
