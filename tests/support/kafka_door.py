"""Topic `intake` as a shop on Kafka sees it: a plain client, which shares no code with ours."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

ANSWER_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Sent:
    """A message, and where Kafka says that it lies."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class KafkaDoor:
    """Writes to and reads from the topics of one installation."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._servers = parts.netloc
        [self._prefix] = parse_qs(parts.query).get("prefix", [""])
        self._producer: Any = None

    def send(
        self,
        messages: Sequence[tuple[bytes | None, bytes | None]],
        *,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> list[Sent]:
        """Write to `intake`, and wait until Kafka has everything.

        Raises:
            KafkaError: nobody knows what Kafka has of it.
        """
        topic = f"{self._prefix}intake"
        try:
            producer = self._connected()
            promised = [
                producer.send(topic, key=key, value=value, headers=list(headers))
                for key, value in messages
            ]
            found = [promise.get(ANSWER_TIMEOUT_S) for promise in promised]
        except KafkaError:
            self.close()  # one that failed once may never send anything again
            raise
        return [
            Sent(place.partition, place.offset, key, value)
            for place, (key, value) in zip(found, messages, strict=True)
        ]

    def read(self, topic: str) -> Iterator[Any]:
        """Everything that a topic holds now, partition by partition."""
        consumer = KafkaConsumer(bootstrap_servers=self._servers, group_id=None)
        try:
            name = f"{self._prefix}{topic}"
            for number in sorted(consumer.partitions_for_topic(name) or ()):
                yield from self._read_partition(consumer, TopicPartition(name, number))
        finally:
            consumer.close()

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=1)
            self._producer = None

    def _connected(self) -> Any:
        if self._producer is None:
            self._producer = KafkaProducer(
                bootstrap_servers=self._servers,
                acks="all",
                max_block_ms=5_000,
                delivery_timeout_ms=10_000,
                request_timeout_ms=5_000,
            )
        return self._producer

    @staticmethod
    def _read_partition(consumer: Any, partition: Any) -> Iterator[Any]:
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        [end] = consumer.end_offsets([partition]).values()
        while consumer.position(partition) < end:
            for records in consumer.poll(timeout_ms=1_000).values():
                yield from records


@contextmanager
def kafka_door(url: str) -> Iterator[KafkaDoor]:
    door = KafkaDoor(url)
    try:
        yield door
    finally:
        door.close()
