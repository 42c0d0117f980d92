"""The stream in one SQLite file: durable, survives ``kill -9``, for one machine.

One thread appends for the whole process and commits everything that was submitted meanwhile, so
hundreds of concurrent calls share one fsync. Readers are woken by it; what another process appends
to the same file they see a moment later.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from services.runtime.stream import (
    TOPICS,
    Message,
    PartitionsDiffer,
    Record,
    StreamUnavailable,
    UnknownTopic,
)
from services.runtime.stream_sqlite_appender import Appender, Bells
from services.runtime.stream_submission import Submission, Window, failed, wait_until_durable

_BUSY_TIMEOUT_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.5  # for what another process appended
_TRIM_CHUNK: Final = 2_000  # rows of one transaction, some 10 ms
_TRIM_PAUSE_S: Final = 0.001

_SCHEMA = """
CREATE TABLE IF NOT EXISTS partitions (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,  -- never falls, so that no offset is given twice
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    headers BLOB,                  -- MessagePack; NULL: none
    appended_at_ms INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, offset)
);
"""
_ADD_PARTITION = "INSERT INTO partitions (topic, partition, next_offset) VALUES (?, ?, 0)"
_ENDS = "SELECT partition, next_offset FROM partitions WHERE topic = :topic"
_FIRST_KEPT = "SELECT MIN(offset) FROM messages WHERE topic = :topic AND partition = :partition"
_PAGE = """
SELECT offset, key, value, headers, appended_at_ms FROM messages
WHERE topic = :topic AND partition = :partition AND offset >= :offset
ORDER BY offset LIMIT :limit
"""
# The newest record stays, so that `last` tells the truth for ever.
_TRIM = """
DELETE FROM messages WHERE rowid IN (
    SELECT rowid FROM messages
    WHERE topic = :topic AND partition = :partition AND offset < MIN(:offset, (
        SELECT next_offset - 1 FROM partitions WHERE topic = :topic AND partition = :partition
    ))
    LIMIT :chunk
)
"""

_decode_headers = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...]).decode


class SqliteStream:
    """All topics in one file."""

    @classmethod
    def open(cls, url: str, *, partitions: int) -> SqliteStream:
        """Open the file, or make it.

        Raises:
            StreamUnavailable: there is no such folder, or the file is no stream.
        """
        return cls(Path(unquote(urlsplit(url).path)), partitions=partitions)

    def __init__(self, path: Path, *, partitions: int) -> None:
        self._path = path
        self._partitions = partitions
        self._counts: dict[str, int] = {}
        self._bells = Bells()
        self._writing = threading.Lock()
        self._closed = threading.Event()
        with self._connection() as connection:
            connection.executescript(_SCHEMA)
        self._appender = Appender(lambda: _connect(path), self._writing, self._bells)

    def ensure_topics(self) -> None:
        with self._writing, self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for topic in TOPICS:
                found = len(connection.execute(_ENDS, {"topic": topic}).fetchall())
                if not found:
                    rows = [(topic, partition) for partition in range(self._partitions)]
                    connection.executemany(_ADD_PARTITION, rows)
                elif found != self._partitions:
                    raise PartitionsDiffer(
                        topic, partitions_found=found, partitions_set=self._partitions
                    )
            connection.execute("COMMIT")

    def partition_count(self, topic: str) -> int:
        if topic not in self._counts:
            with self._connection() as connection:
                count = len(_ends(connection, topic))
            self._counts[topic] = count
        return self._counts[topic]

    def producer(self) -> SqliteProducer:
        return SqliteProducer(self._appender)

    def reader(self, topic: str) -> SqliteReader:
        self._refuse_when_closed()
        with _told(self._path):
            return SqliteReader(topic, self._path, self._bells)

    def last(self, topic: str, partition: int) -> Record | None:
        with self._connection() as connection:
            newest = _ends(connection, topic)[partition] - 1
            records = _page(connection, topic, partition, offset=newest, limit=1)
        return records[0] if records else None

    def trim(self, topic: str, offsets: Mapping[int, int]) -> None:
        with self._connection() as connection:
            for partition, offset in offsets.items():
                what = {"topic": topic, "partition": partition, "offset": offset}
                deleted = _TRIM_CHUNK
                while deleted == _TRIM_CHUNK:
                    with self._writing:
                        deleted = connection.execute(_TRIM, {**what, "chunk": deleted}).rowcount
                    # A lock goes to whoever asks first: without the pause that would be us again,
                    # and whoever appends would wait until all is deleted.
                    self._closed.wait(_TRIM_PAUSE_S)

    def close(self) -> None:
        self._closed.set()
        self._appender.close(timeout_s=_CLOSE_TIMEOUT_S)
        self._bells.close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        self._refuse_when_closed()
        with _told(self._path), closing(_connect(self._path)) as connection:
            yield connection

    def _refuse_when_closed(self) -> None:
        if self._closed.is_set():
            raise StreamUnavailable("the stream is closed")


class SqliteProducer:
    """One caller's share of the process's one appender."""

    def __init__(self, appender: Appender) -> None:
        self._appender = appender
        self._window = Window()
        self._is_closed = False

    def submit(self, topic: str, messages: Sequence[Message]) -> Future[None]:
        if self._is_closed:
            return failed(StreamUnavailable("the producer is closed"))
        submission = Submission(topic, messages, self._window)
        self._appender.take(submission)
        return submission.future

    def append(self, topic: str, messages: Sequence[Message], *, timeout_s: float = 30) -> None:
        wait_until_durable(self.submit(topic, messages), timeout_s=timeout_s)

    def close(self) -> None:
        self._is_closed = True
        self._window.wait_until_empty(_CLOSE_TIMEOUT_S)


class SqliteReader:
    """Reads pages of a topic with a connection of its own."""

    def __init__(self, topic: str, path: Path, bells: Bells) -> None:
        self._topic = topic
        self._path = path
        self._bells = bells
        self._connection = _connect(path)
        self._next_offsets: dict[int, int] = {}
        self._served_in: dict[int, int] = {}  # the last poll that gave something, by partition
        self._polls = 0

    def seek(self, offsets: Mapping[int, int]) -> None:
        with _told(self._path):
            ends = _ends(self._connection, self._topic)
            self._next_offsets = {
                partition: self._reachable(partition, offset, end=ends[partition])
                for partition, offset in offsets.items()
            }
        self._served_in = dict.fromkeys(offsets, 0)

    def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        give_up_at_s = time.monotonic() + timeout_s
        while True:
            # Asked before reading, so that no append falls between reading and waiting.
            rung = self._bells.rung(self._topic)
            with _told(self._path):
                records = self._read(max_records)
            left_s = give_up_at_s - time.monotonic()
            if records or left_s <= 0:
                return records
            self._bells.wait(self._topic, rung, timeout_s=min(left_s, _LOOK_EVERY_S))

    def end_offsets(self) -> dict[int, int]:
        with _told(self._path):
            return _ends(self._connection, self._topic)

    def close(self) -> None:
        self._connection.close()

    def _reachable(self, partition: int, offset: int, *, end: int) -> int:
        where = {"topic": self._topic, "partition": partition}
        (first,) = self._connection.execute(_FIRST_KEPT, where).fetchone()
        first = end if first is None else first
        return offset if first <= offset <= end else first

    def _read(self, records_max: int) -> list[Record]:
        """One page. Whoever waited longest comes first, and leaves what it does not need."""
        ends = _ends(self._connection, self._topic)
        waiting = {p: ends[p] - at for p, at in self._next_offsets.items() if ends[p] > at}
        order = sorted(waiting, key=lambda p: (self._served_in[p], waiting[p]))
        self._polls += 1
        records: list[Record] = []
        for place, partition in enumerate(order):
            share = -(-(records_max - len(records)) // (len(order) - place))
            offset = self._next_offsets[partition]
            page = _page(self._connection, self._topic, partition, offset=offset, limit=share)
            if page:
                records += page
                self._next_offsets[partition] = page[-1].offset + 1
                self._served_in[partition] = self._polls
        return records


def _ends(connection: sqlite3.Connection, topic: str) -> dict[int, int]:
    ends = dict(connection.execute(_ENDS, {"topic": topic}).fetchall())
    if not ends:
        raise UnknownTopic(f"there is no topic {topic}")
    return ends


def _page(
    connection: sqlite3.Connection, topic: str, partition: int, *, offset: int, limit: int
) -> list[Record]:
    where = {"topic": topic, "partition": partition, "offset": offset, "limit": limit}
    return [
        Record(
            partition, at, key, value, () if headers is None else _decode_headers(headers), at_ms
        )
        for at, key, value, headers, at_ms in connection.execute(_PAGE, where)
    ]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA page_size = 8192")  # of a new file: commands have 300 to 3,000 B
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: what was acknowledged survives a power cut, not only a killed process.
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's errors in the stream's words."""
    try:
        yield
    except sqlite3.Error as error:
        raise StreamUnavailable(f"{path.name}: {error}") from error
