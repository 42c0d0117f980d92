"""The stream on Apache Kafka. Positions and ownership stay with our databases, not with Kafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final
from weakref import WeakSet

from kafka.errors import KafkaError, TopicAlreadyExistsError

from services.runtime.stream import (
    TOPICS,
    PartitionsDiffer,
    Record,
    StreamUnavailable,
    UnknownTopic,
)
from services.runtime.stream_kafka_client import (
    ANSWER_TIMEOUT_S,
    REQUEST_BYTES_MAX,
    AdminClient,
    Cluster,
    ConsumerClient,
)
from services.runtime.stream_kafka_producer import KafkaProducer
from services.runtime.stream_kafka_reader import KafkaReader
from services.runtime.stream_kafka_records import to_record

_ANSWER_TIMEOUT_MS: Final = int(ANSWER_TIMEOUT_S * 1000)
_DAY_MS: Final = 24 * 3_600 * 1000
_RETENTION_MS: Final = {"intake": 7 * _DAY_MS, "dead-letters": 30 * _DAY_MS}  # others: for ever
_FOR_EVER_MS: Final = -1


class KafkaStream:
    """Our topics on one cluster. Nothing connects before it is needed."""

    @classmethod
    def open(cls, url: str, *, partitions: int) -> KafkaStream:
        """Remember where Kafka is.

        Raises:
            ValueError: the URL says something else.
        """
        return cls(Cluster.at(url), partitions=partitions)

    def __init__(self, cluster: Cluster, *, partitions: int) -> None:
        self._cluster = cluster
        self._partitions = partitions
        self._counts: dict[str, int] = {}
        self._producers: WeakSet[KafkaProducer] = WeakSet()
        self._asker: ConsumerClient | None = None
        self._asking = threading.Lock()
        self._is_closed = False

    def ensure_topics(self) -> None:
        with self._admin() as admin:
            found = self._describe(admin, TOPICS)
            missing = [topic for topic in TOPICS if topic not in found]
            if missing:
                self._create(admin, missing)
                found = self._describe(admin, TOPICS)
        for topic, count in found.items():
            if count != self._partitions:
                raise PartitionsDiffer(
                    topic, partitions_found=count, partitions_set=self._partitions
                )
        self._counts.update(found)

    def partition_count(self, topic: str) -> int:
        if topic not in self._counts:
            with self._admin() as admin:
                self._counts.update(self._describe(admin, [topic]))
        if topic not in self._counts:
            raise UnknownTopic(f"there is no topic {topic}")
        return self._counts[topic]

    def producer(self) -> KafkaProducer:
        producer = KafkaProducer(self._cluster, self.partition_count)
        self._producers.add(producer)
        return producer

    def reader(self, topic: str) -> KafkaReader:
        return KafkaReader(topic, self._cluster, self._end_offsets)

    def last(self, topic: str, partition: int) -> Record | None:
        # Those whom this is asked for write without transactions: below the end is a message.
        [where] = self._cluster.partitions(topic, [partition])
        give_up_at_s = time.monotonic() + ANSWER_TIMEOUT_S
        with self._ask() as asker:
            [first] = asker.beginning_offsets([where], _ANSWER_TIMEOUT_MS).values()
            [end] = asker.end_offsets([where], _ANSWER_TIMEOUT_MS).values()
            if first == end:
                return None
            asker.assign([where])
            asker.seek(where, end - 1)
            while time.monotonic() < give_up_at_s:
                found = asker.poll(timeout_ms=_ANSWER_TIMEOUT_MS, max_records=1)
                for newest in found.get(where, ()):
                    asker.assign([])
                    return to_record(partition, newest)
        raise StreamUnavailable(f"no answer about the newest record of {topic}/{partition}")

    def trim(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Nothing to do: the topic's retention time does it."""

    def close(self) -> None:
        for producer in list(self._producers):
            producer.close()
        with self._asking:
            self._is_closed = True
            self._drop_asker()

    def _end_offsets(self, topic: str) -> dict[int, int]:
        partitions = self._cluster.partitions(topic, range(self.partition_count(topic)))
        with self._ask() as asker:
            ends = asker.end_offsets(partitions, _ANSWER_TIMEOUT_MS)
        return {each.partition: ends[each] for each in partitions}

    def _describe(self, admin: AdminClient, topics: Sequence[str]) -> dict[str, int]:
        """How many partitions each topic has, of those that exist."""
        names = {self._cluster.topic_name(topic): topic for topic in topics}
        return {
            names[found["name"]]: len(found["partitions"])
            for found in admin.describe_topics(list(names))
            if found["partitions"]
        }

    def _create(self, admin: AdminClient, topics: Sequence[str]) -> None:
        wanted = {
            self._cluster.topic_name(topic): {
                "num_partitions": self._partitions,
                "replication_factor": self._cluster.replication,
                "configs": {
                    "retention.ms": str(_RETENTION_MS.get(topic, _FOR_EVER_MS)),
                    "retention.bytes": "-1",
                    "cleanup.policy": "delete",
                    # Others may compress as they like; our reader cannot undo all of it.
                    "compression.type": "uncompressed",
                    "max.message.bytes": str(REQUEST_BYTES_MAX),
                },
            }
            for topic in topics
        }
        try:
            admin.create_topics(wanted, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            return  # by another process, in this moment

    @contextmanager
    def _admin(self) -> Iterator[AdminClient]:
        self._refuse_when_closed()
        admin = self._cluster.admin()
        try:
            yield admin
        except KafkaError as error:
            raise StreamUnavailable(f"Kafka does not answer: {error}") from error
        finally:
            admin.close()

    @contextmanager
    def _ask(self) -> Iterator[ConsumerClient]:
        """One consumer for all questions, one question at a time."""
        with self._asking:
            self._refuse_when_closed()
            asker = self._asker = self._asker or self._cluster.consumer(wait_ms=20)
            try:
                yield asker
            except KafkaError as error:
                self._drop_asker()
                raise StreamUnavailable(f"Kafka does not answer: {error}") from error

    def _drop_asker(self) -> None:
        if self._asker is not None:
            self._asker.close(timeout_ms=1_000)
            self._asker = None

    def _refuse_when_closed(self) -> None:
        if self._is_closed:
            raise StreamUnavailable("the stream is closed")
