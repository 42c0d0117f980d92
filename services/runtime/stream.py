"""The stream between the services: topics of keyed messages, appended and read in order.

One small interface, two implementations with one test suite: a log in one SQLite file
(``stream_sqlite``) and Apache Kafka (``stream_kafka``). What holds for both:

- Messages with the same key fall on the same partition, in the order in which they were submitted.
- A future that is done without an error means durable. A future that failed means *unknown*: the
  messages may be there, or none of them, or of each partition the first few. Whoever needs them
  submits all of them again, so a message may appear twice, but each first appears in its order.
- That order holds across calls too as long as nothing fails. Whoever needs it through failures
  waits for one call to be durable before making the next: the relay does, a door need not.
- Readers keep their own positions and must tolerate repeats. Offsets only grow; gaps are allowed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol
from urllib.parse import urlsplit

import msgspec

TOPICS: Final = ("intake", "ledger", "rewards", "dead-letters")

MESSAGE_BYTES_MAX: Final = 3 << 20
"""Key and value together. The doors take commands of 1 MiB; what is recorded of one is larger."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is appended: its key decides the partition, its value is opaque here."""

    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Record(msgspec.Struct, frozen=True):
    """A message where it was found."""

    partition: int
    offset: int
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    appended_at_ms: int  # since the epoch, by the clock of whoever appended


class StreamUnavailable(Exception):
    """The stream cannot be reached or written just now; what was submitted may be there or not."""


class StreamFull(StreamUnavailable):
    """Too many messages wait for their acknowledgement; nothing of this call was accepted."""


class UnknownTopic(StreamUnavailable):
    """The topic does not exist yet; ``ensure_topics`` creates those of ``TOPICS``."""


class PartitionsDiffer(Exception):
    """A topic has another number of partitions than the settings say.

    Never go on with the wrong number: a member's key would move to another partition, and with it
    the order of the member's messages.
    """

    def __init__(self, topic: str, *, partitions_found: int, partitions_set: int) -> None:
        super().__init__(
            f"topic {topic} has {partitions_found} partitions, the settings say {partitions_set}"
        )
        self.topic = topic
        self.partitions_found = partitions_found
        self.partitions_set = partitions_set


class Producer(Protocol):
    """Appends messages. Any thread may call it, an event loop's too: ``submit`` never waits."""

    def submit(self, topic: str, messages: Sequence[Message]) -> Future[None]:
        """Append in order; the future is done when all messages are durable.

        It fails as a whole, with ``StreamUnavailable``, on the first message that failed, and after
        a bounded time in any case. It cannot be cancelled.

        Raises:
            StreamFull: at once, and nothing of this call was accepted.
            ValueError: a message is larger than ``MESSAGE_BYTES_MAX``; nothing was accepted.
        """
        ...

    def append(self, topic: str, messages: Sequence[Message], *, timeout_s: float = 30) -> None:
        """Submit and wait until durable.

        Raises:
            StreamUnavailable: not confirmed, or not within ``timeout_s``.
        """
        ...

    def close(self) -> None:
        """Wait a bounded time for what was submitted; what is submitted later fails."""
        ...


class Reader(Protocol):
    """Reads one topic from positions that the caller keeps. One thread at a time may use it."""

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Read exactly these partitions, from these offsets on.

        An offset that the log does not reach, below its first kept record or beyond its end,
        starts at the first kept record: a log that was restored from an old copy is read again
        rather than skipped.
        """
        ...

    def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        """The next records, in offset order per partition; none after ``timeout_s`` without any.

        Every partition that has records gets its share of ``max_records``.

        Raises:
            StreamUnavailable: the stream has not answered for a bounded time.
        """
        ...

    def end_offsets(self) -> dict[int, int]:
        """The offset the next message will get, for every partition of the topic."""
        ...

    def close(self) -> None:
        """Let go of connections and threads."""
        ...


class Stream(Protocol):
    """Topics, and how to append to them and read them. Any thread may call it."""

    def ensure_topics(self) -> None:
        """Create what is missing of ``TOPICS``; doing it again changes nothing.

        Raises:
            PartitionsDiffer: a topic exists with another number of partitions.
            StreamUnavailable: not reached within a bounded time.
        """
        ...

    def partition_count(self, topic: str) -> int:
        """How many partitions the topic really has.

        Raises:
            UnknownTopic: nobody created it.
            StreamUnavailable: not reached within a bounded time.
        """
        ...

    def producer(self) -> Producer:
        """A producer for one caller, who closes it."""
        ...

    def reader(self, topic: str) -> Reader:
        """A reader for one caller, who closes it. Reading begins with ``seek``."""
        ...

    def last(self, topic: str, partition: int) -> Record | None:
        """The newest record: lets the relay skip what is already published."""
        ...

    def trim(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Say that records below these offsets are no longer needed.

        SQLite deletes them, except the newest of each partition, which ``last`` shows. Kafka keeps
        them for the topic's retention time.
        """
        ...

    def close(self) -> None:
        """Close all producers and answer no more; readers are closed by whoever reads."""
        ...


@lru_cache(maxsize=1 << 17)
def partition_of(key: str, count: int) -> int:
    """The partition of a key, as every Kafka client with the default partitioner computes it.

    Cached because murmur2 in Python costs more than all else that sending a message takes.
    """
    return (_murmur2(key.encode()) & 0x7FFFFFFF) % count


def _murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash with Kafka's seed, unsigned."""
    multiplier, mask = 0x5BD1E995, 0xFFFFFFFF
    hashed = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        mixed = word * multiplier & mask
        mixed = (mixed ^ mixed >> 24) * multiplier & mask
        hashed = hashed * multiplier & mask ^ mixed
    if whole < len(data):
        hashed = (hashed ^ int.from_bytes(data[whole:], "little")) * multiplier & mask
    hashed = (hashed ^ hashed >> 13) * multiplier & mask
    return hashed ^ hashed >> 15


def open_stream(url: str, *, partitions: int = 12) -> Stream:
    """The stream behind a URL: ``sqlite:///absolute/path.db`` or ``kafka://host:port[,host:port]``.

    Kafka's takes ``?replication=1`` (copies of each new topic; default: the broker's own) and
    ``&prefix=shop-`` (put before every topic's name, so that several can share one cluster).

    Args:
        url: where the stream is.
        partitions: of each topic; written down when the topic is created, checked ever after.

    Raises:
        ValueError: the URL is of neither kind.
        StreamUnavailable: the SQLite file cannot be opened. Kafka is not asked yet.
    """
    # Imported here, not above: both modules import this one, and an embedded ledger starts faster
    # without the Kafka client.
    match urlsplit(url).scheme:
        case "sqlite":
            from services.runtime.stream_sqlite import SqliteStream  # noqa: PLC0415

            return SqliteStream.open(url, partitions=partitions)
        case "kafka":
            from services.runtime.stream_kafka import KafkaStream  # noqa: PLC0415

            return KafkaStream.open(url, partitions=partitions)
        case scheme:
            raise ValueError(f"a stream's URL starts with sqlite:// or kafka://, not {scheme!r}")
