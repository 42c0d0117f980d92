"""The one thread that appends to the SQLite stream, and the bells it rings for readers."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from services.runtime.clock import micros, utc_now
from services.runtime.stream import StreamUnavailable, UnknownTopic, partition_of
from services.runtime.stream_submission import Submission

_LOG = logging.getLogger(__name__)

_MESSAGES_PER_COMMIT: Final = 10_000
_ENDS = "SELECT partition, next_offset FROM partitions WHERE topic = ?"
_SET_END = "UPDATE partitions SET next_offset = ? WHERE topic = ? AND partition = ?"
_APPEND = """
INSERT INTO messages (topic, partition, offset, key, value, headers, appended_at_ms)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""

_Row = tuple[str, int, int, str, bytes, bytes | None, int]
_encode_headers = msgspec.msgpack.Encoder().encode


class Bells:
    """One bell per topic: readers sleep until it rings. Thread-safe."""

    def __init__(self) -> None:
        self._rung: Counter[str] = Counter()
        self._is_closed = False
        self._changed = threading.Condition()

    def rung(self, topic: str) -> int:
        """How often this bell rang.

        Raises:
            StreamUnavailable: the stream is closed.
        """
        with self._changed:
            if self._is_closed:
                raise StreamUnavailable("the stream is closed")
            return self._rung[topic]

    def ring(self, topics: Iterable[str]) -> None:
        with self._changed:
            self._rung.update(topics)
            self._changed.notify_all()

    def wait(self, topic: str, rung: int, *, timeout_s: float) -> None:
        """Wait until it rang more often than ``rung``."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._rung[topic] > rung, timeout_s)

    def close(self) -> None:
        """Wake everybody for good."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class Appender:
    """Appends in the order of ``take``; one commit holds everything that came meanwhile."""

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], writing: threading.Lock, bells: Bells
    ) -> None:
        self._connect = connect
        self._writing = writing
        self._bells = bells
        self._connection: sqlite3.Connection | None = None
        self._queue: deque[Submission] = deque()
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="stream-appender", daemon=True)
        self._thread.start()

    def take(self, submission: Submission) -> None:
        with self._changed:
            if not self._is_closed:
                self._queue.append(submission)
                self._changed.notify()
                return
        submission.fail(StreamUnavailable("the stream is closed"))

    def close(self, *, timeout_s: float) -> None:
        """Append what was taken, and end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while group := self._next_group():
            try:
                refusals = self._commit(group)
            except Exception as error:
                # Whatever a group does to this thread: it answers, and goes on with the next.
                self._drop_connection()
                _LOG.exception("append failed")
                refusals = [StreamUnavailable(f"not appended: {error}")] * len(group)
            self._bells.ring({submission.topic for submission in group})
            for submission, refusal in zip(group, refusals, strict=True):
                if refusal is None:
                    submission.succeed()
                else:
                    submission.fail(refusal)
        self._drop_connection()

    def _next_group(self) -> list[Submission]:
        """What waits, in order; nothing after the last one of a closed appender."""
        group: list[Submission] = []
        messages = 0
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closed)
            while self._queue and messages < _MESSAGES_PER_COMMIT:
                group.append(self._queue.popleft())
                messages += len(group[-1].messages)
        return group

    def _commit(self, group: list[Submission]) -> list[Exception | None]:
        """Append a group in one transaction; for each, why it cannot be appended ever, if so."""
        connection = self._connection = self._connection or self._connect()
        refusals: list[Exception | None] = []
        with self._writing:
            connection.execute("BEGIN IMMEDIATE")
            rows = _Rows(connection)
            for submission in group:
                try:
                    rows.add(submission)
                except (UnknownTopic, ValueError) as error:
                    refusals.append(error)
                else:
                    refusals.append(None)
            rows.write()
            connection.execute("COMMIT")
        return refusals

    def _drop_connection(self) -> None:
        """Roll back whatever it holds; the next commit gets a fresh one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Rows:
    """The rows of one commit, with offsets from where each partition ends now."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ends: dict[str, dict[int, int]] = {}
        self._rows: list[_Row] = []
        self._now_ms = micros(utc_now()) // 1000

    def add(self, submission: Submission) -> None:
        """Give offsets to all messages of a submission, or raise and give none.

        Raises:
            UnknownTopic: there is no such topic.
            ValueError: a key is no text.
        """
        topic = submission.topic
        ends = self._ends_of(topic)
        partitions = [partition_of(message.key, len(ends)) for message in submission.messages]
        for message, partition in zip(submission.messages, partitions, strict=True):
            headers = _encode_headers(message.headers) if message.headers else None
            row = (topic, partition, ends[partition], message.key, message.value, headers)
            self._rows.append((*row, self._now_ms))
            ends[partition] += 1

    def write(self) -> None:
        self._connection.executemany(_APPEND, self._rows)
        ends = [(end, topic, p) for topic, ends in self._ends.items() for p, end in ends.items()]
        self._connection.executemany(_SET_END, ends)

    def _ends_of(self, topic: str) -> dict[int, int]:
        if topic not in self._ends:
            ends = dict(self._connection.execute(_ENDS, (topic,)).fetchall())
            if not ends:
                raise UnknownTopic(f"there is no topic {topic}")
            self._ends[topic] = ends
        return self._ends[topic]
