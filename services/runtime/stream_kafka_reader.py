"""Reading Kafka by position: no consumer group, the caller says which partitions from where."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from kafka.errors import KafkaError

from services.runtime.stream import Record, StreamUnavailable
from services.runtime.stream_kafka_client import (
    ANSWER_TIMEOUT_S,
    Cluster,
    ConsumerClient,
    Partition,
)
from services.runtime.stream_kafka_records import to_record

_ANSWER_TIMEOUT_MS: Final = int(ANSWER_TIMEOUT_S * 1000)
_ASK_AFTER_S: Final = 5.0  # of silence, whether the broker is still there


class KafkaReader:
    """Reads one topic with a client of its own."""

    def __init__(
        self, topic: str, cluster: Cluster, end_offsets: Callable[[str], dict[int, int]]
    ) -> None:
        self._topic = topic
        self._cluster = cluster
        self._end_offsets = end_offsets
        self._consumer: ConsumerClient | None = None
        self._partitions: list[Partition] = []
        self._answered_at_s = 0.0

    def seek(self, offsets: Mapping[int, int]) -> None:
        consumer = self._consumer = self._consumer or self._cluster.consumer()
        self._partitions = self._cluster.partitions(self._topic, offsets)
        with self._told():
            firsts = consumer.beginning_offsets(self._partitions, _ANSWER_TIMEOUT_MS)
            ends = consumer.end_offsets(self._partitions, _ANSWER_TIMEOUT_MS)
            consumer.assign(self._partitions)
            for each in self._partitions:
                offset = offsets[each.partition]
                is_there = firsts[each] <= offset <= ends[each]
                consumer.seek(each, offset if is_there else firsts[each])
        self._answered_at_s = time.monotonic()

    def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        if self._consumer is None:
            raise StreamUnavailable("the reader is closed, or failed: seek again")
        try:
            with self._told():
                found = self._consumer.poll(
                    timeout_ms=int(timeout_s * 1000), max_records=max_records
                )
        except StreamUnavailable:
            self.close()  # whatever made it fail once would make it hang the next time
            raise
        if not found:
            self._make_sure_of_the_broker(self._consumer)
            return []
        self._answered_at_s = time.monotonic()
        return [to_record(where.partition, each) for where, some in found.items() for each in some]

    def end_offsets(self) -> dict[int, int]:
        return self._end_offsets(self._topic)

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close(timeout_ms=1_000)
            self._consumer = None

    def _make_sure_of_the_broker(self, consumer: ConsumerClient) -> None:
        """To the client no news and no broker are the same; to a role they are not.

        Raises:
            StreamUnavailable: no answer. Polling again asks again.
        """
        if self._partitions and time.monotonic() - self._answered_at_s > _ASK_AFTER_S:
            with self._told():
                consumer.end_offsets(self._partitions, _ANSWER_TIMEOUT_MS)
            self._answered_at_s = time.monotonic()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The client's errors in the stream's words."""
        try:
            yield
        except KafkaError as error:
            raise StreamUnavailable(f"cannot read {self._topic}: {error}") from error
