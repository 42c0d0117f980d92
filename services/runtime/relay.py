"""From the log to its topic: the log is the outbox, so nothing is ever published unstored.

At a take-over the relay looks at the newest record of each partition and leaves out what is there
already; consumers still tolerate repeats, for a stalled relay may wake up late.
"""

from __future__ import annotations

import logging
import threading

import msgspec

from services.runtime.dead_letters import TOPIC as DEAD_LETTERS
from services.runtime.dead_letters import mark_published, unpublished_letters
from services.runtime.eventlog import BELL
from services.runtime.footing import Footing
from services.runtime.ownership import (
    Fenced,
    Place,
    Term,
    load_places,
    save_places,
)
from services.runtime.shards import WHOLE, Share
from services.runtime.stream import Message, Producer, StreamUnavailable, partition_of
from services.runtime.telemetry import inject, span

_LOG = logging.getLogger(__name__)
_POLL_S = 0.25
_GATHER_S = 0.05  # after a short page: what happens meanwhile goes together
_TRACEPARENT = b'"traceparent":"'
_LETTERS_PER_PAGE = 100
_PAGE = """
SELECT position, stream, event FROM events WHERE position > :after ORDER BY position LIMIT :limit
"""


class _Placed(msgspec.Struct):
    position: int


_decode_position = msgspec.json.Decoder(_Placed).decode


class Relay:
    """Publishes one service's log, and its dead letters, in the order of the log."""

    def __init__(
        self,
        *,
        name: str,
        topic: str,
        footing: Footing,
        share: Share = WHOLE,
        page_size_max: int = 2_000,
    ) -> None:
        self.name = name
        self.topic = topic
        self._share = share
        self._database = footing.database
        self._stream = footing.stream
        self._ownership = footing.ownership
        self._clock = footing.clock
        self._page_size_max = page_size_max
        self._rung = threading.Event()
        self._ahead: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Publish until stopped.

        Raises:
            DatabaseUnavailable: the caller starts it again later.
            StreamUnavailable: likewise; what was not acknowledged is published again.
        """
        forget = self._database.listen(BELL, self._rung.set)
        producer = self._stream.producer()
        try:
            while not stop.is_set():
                term = self._ownership.acquire(self.name)
                if term is None:
                    stop.wait(_POLL_S)
                    continue
                try:
                    self._lead(term, producer, stop)
                except Fenced:
                    _LOG.info("another relay took over", extra={"relay": self.name})
        finally:
            forget()
            producer.close()

    def lag(self) -> int:
        """Events of the log that are not published yet.

        Raises:
            RuntimeError: none may be, for the topic holds events that the log does not.
        """
        if self._ahead is not None:
            raise RuntimeError(self._ahead)
        with self._database.read() as connection:
            place = load_places(connection, self.name).get(0, Place())
            [(position,)] = connection.rows("SELECT position FROM log_head")
        return int(position) - place.last_position

    def _lead(self, term: Term, producer: Producer, stop: threading.Event) -> None:
        published = self._published()
        with self._database.read() as connection:
            position = load_places(connection, self.name).get(0, Place()).last_position
            [(end,)] = connection.rows("SELECT position FROM log_head")
        self._ahead = _ahead(self.topic, max(published.values(), default=0), end)
        if self._ahead is not None:
            self._ownership.release(term)
            raise StreamUnavailable(self._ahead)
        count = self._stream.partition_count(self.topic)
        renewed_at = self._clock()
        while not stop.is_set():
            self._rung.clear()
            with self._database.read() as connection:
                page = connection.rows(_PAGE, {"after": position, "limit": self._page_size_max})
            messages = [(at, _message(stream, event)) for at, stream, event in page]
            news = [
                message
                for at, message in messages
                if at > published.get(partition_of(message.key, count), 0)
            ]
            if news:
                producer.append(self.topic, news)
            self._publish_letters(producer)
            if page:
                position = page[-1][0]
                self._note(term, position)
                renewed_at = self._clock()
            elif self._clock() - renewed_at > self._ownership.lease / 3:
                self._ownership.renew(term)
                renewed_at = self._clock()
            if len(page) < self._page_size_max:
                if page:
                    stop.wait(_GATHER_S)
                self._rung.wait(_POLL_S)
        self._ownership.release(term)

    def _published(self) -> dict[int, int]:
        """By partition the newest position that the topic holds, of our own partitions."""
        found: dict[int, int] = {}
        for partition in self._share.partitions(self._stream.partition_count(self.topic)):
            record = self._stream.last(self.topic, partition)
            if record is None:
                continue
            try:
                found[partition] = _decode_position(record.value).position
            except msgspec.DecodeError:
                # Not ours: then we cannot know, and publish again what may be there.
                _LOG.warning("a foreign record", extra={"partition": partition})
        return found

    def _note(self, term: Term, position: int) -> None:
        # What is published twice is published under the same position.
        with self._database.write(is_repeatable=True) as connection:
            self._ownership.confirm(connection, term)
            save_places(connection, self.name, {0: Place(0, position)})

    def _publish_letters(self, producer: Producer) -> None:
        with self._database.read() as connection:
            letters = unpublished_letters(connection, limit=_LETTERS_PER_PAGE)
        if not letters:
            return
        producer.append(DEAD_LETTERS, [letter.message() for letter in letters])
        with self._database.write() as connection:
            mark_published(connection, letters)


def _ahead(topic: str, published: int, end: int) -> str | None:
    if published <= end:
        return None
    return (
        f"topic {topic} holds position {published}, and the log ends at {end}: "
        "an older copy of the log was restored"
    )


def _message(stream: str, event: bytes) -> Message:
    """Keyed by the last part of the stream's name: the member, or the stranger's purchase."""
    event = bytes(event)
    key = stream.rpartition("/")[2]
    start = event.find(_TRACEPARENT, 0, event.find(b'"data":'))
    if start < 0:
        return Message(key, event)
    start += len(_TRACEPARENT)
    parent = event[start : event.index(b'"', start)].decode()
    with span("relay publish", parent=parent) as current:
        return Message(key, event, inject(current.traceparent))
