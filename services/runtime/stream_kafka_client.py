"""kafka-python 3.0.12, which has no types, behind the few calls that we make of it.

What it does unlike what its names promise is dealt with here, once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from services.runtime.stream import MESSAGE_BYTES_MAX, StreamUnavailable
from services.runtime.stream_kafka_records import FoundRecord, read_any_header

ANSWER_TIMEOUT_S: Final = 5.0  # for a question that a living broker answers in milliseconds
DELIVERY_TIMEOUT_S: Final = 20.0  # longer than a killed broker needs to come back
REQUEST_BYTES_MAX: Final = MESSAGE_BYTES_MAX + (1 << 20)

_PORT: Final = 9092
_CONNECT_TIMEOUT_S: Final = 2.0
_STOP_TIMEOUT_S: Final = 5.0


class Acknowledgement(Protocol):
    """The fate of one sent message. Callbacks run on the client's own thread."""

    def succeeded(self) -> bool: ...
    def add_callback(self, callback: Callable[..., None], *args: object) -> object: ...
    def add_errback(self, callback: Callable[..., None], *args: object) -> object: ...


class ProducerClient(Protocol):
    """What we use of KafkaProducer."""

    def send(
        self,
        topic: str,
        *,
        value: bytes,
        key: bytes,
        headers: list[tuple[str, bytes]],
        partition: int,
    ) -> Acknowledgement: ...
    def close(self, timeout: float) -> None: ...


class Partition(Protocol):
    """A partition of a topic, kafka-python's TopicPartition."""

    @property
    def partition(self) -> int: ...
    def __hash__(self) -> int: ...


class ConsumerClient(Protocol):
    """What we use of KafkaConsumer."""

    def assign(self, partitions: Sequence[Partition]) -> None: ...
    def seek(self, partition: Partition, offset: int) -> None: ...
    def poll(
        self, *, timeout_ms: int, max_records: int
    ) -> Mapping[Partition, Sequence[FoundRecord]]: ...
    def beginning_offsets(
        self, partitions: Sequence[Partition], timeout_ms: int
    ) -> Mapping[Partition, int]: ...
    def end_offsets(
        self, partitions: Sequence[Partition], timeout_ms: int
    ) -> Mapping[Partition, int]: ...
    def close(self, *, timeout_ms: int) -> None: ...


class AdminClient(Protocol):
    """What we use of KafkaAdminClient."""

    def describe_topics(self, topics: Sequence[str]) -> Sequence[Mapping[str, Any]]: ...
    def create_topics(
        self, new_topics: Mapping[str, Mapping[str, object]], *, wait_for_metadata: bool
    ) -> object: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where Kafka is, and how our topics are named and copied there."""

    servers: tuple[str, ...]
    replication: int  # copies of a new topic; -1: what the broker does by default
    prefix: str

    @classmethod
    def at(cls, url: str) -> Cluster:
        """Read a URL: ``kafka://host:port[,host:port][?replication=3&prefix=shop-]``.

        Raises:
            ValueError: it says something else.
        """
        parts = urlsplit(url)
        query = parse_qs(parts.query, strict_parsing=bool(parts.query))
        unknown = set(query) - {"replication", "prefix"}
        if unknown or not parts.netloc:
            raise ValueError(f"not the URL of a Kafka, or {sorted(unknown)} in it unknown: {url}")
        return cls(
            servers=tuple(parts.netloc.split(",")),
            replication=int(query.get("replication", ["-1"])[0]),
            prefix=query.get("prefix", [""])[0],
        )

    def topic_name(self, topic: str) -> str:
        return f"{self.prefix}{topic}"

    def partitions(self, topic: str, numbers: Iterable[int]) -> list[Partition]:
        return [TopicPartition(self.topic_name(topic), number) for number in numbers]

    def producer(self) -> ProducerClient:
        """A producer whose every message is acknowledged by all in-sync replicas, once.

        Raises:
            StreamUnavailable: no broker answers.
        """
        client: ProducerClient = self._connect(
            KafkaProducer,
            acks="all",
            enable_idempotence=True,  # said aloud, so that a conflicting option is an error
            delivery_timeout_ms=int(DELIVERY_TIMEOUT_S * 1000),
            max_block_ms=int(ANSWER_TIMEOUT_S * 1000),
            # One batch per partition is under way at a time: a large one is what makes it fast,
            # and while it is under way the next one fills by itself.
            batch_size=256 << 10,
            linger_ms=0,
            max_request_size=REQUEST_BYTES_MAX,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        return client

    def consumer(self, *, wait_ms: int = 500) -> ConsumerClient:
        """A consumer that belongs to no group and keeps no position but the one it is told.

        Args:
            wait_ms: how long the broker holds a question for new messages that has no answer yet.

        Raises:
            StreamUnavailable: no broker answers.
        """
        read_any_header()
        client: ConsumerClient = self._connect(
            KafkaConsumer,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",  # others may write commands in transactions
            check_crcs=True,
            fetch_max_wait_ms=wait_ms,
            fetch_max_bytes=16 << 20,
            max_partition_fetch_bytes=1 << 20,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        return client

    def admin(self) -> AdminClient:
        """A client that makes topics.

        Raises:
            StreamUnavailable: no broker answers.
        """
        client: AdminClient = self._connect(KafkaAdminClient)
        return client

    def _connect(self, kind: Callable[..., Any], **options: object) -> Any:
        self._knock()
        networks: list[KafkaNetClient] = []

        def network(**its_options: object) -> KafkaNetClient:
            networks.append(KafkaNetClient(**its_options))
            return networks[-1]

        try:
            return kind(
                bootstrap_servers=list(self.servers),
                client_id="stampbook",
                request_timeout_ms=int(2 * ANSWER_TIMEOUT_S * 1000),
                bootstrap_timeout_ms=int(ANSWER_TIMEOUT_S * 1000),
                reconnect_backoff_max_ms=1_000,
                kafka_client=network,
                **options,
            )
        except KafkaError as error:
            # A client that finds no broker forgets its thread and four open files.
            for each in networks:
                each.close()
            raise StreamUnavailable(f"no Kafka answers at {self._place}: {error}") from error

    def _knock(self) -> None:
        """Find out in a moment what a client would find out in ``ANSWER_TIMEOUT_S``."""
        for server in self.servers:
            host, _, port = server.rpartition(":") if ":" in server else (server, "", str(_PORT))
            with suppress(OSError):
                socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S).close()
                return
        raise StreamUnavailable(f"no Kafka listens at {self._place}")

    @property
    def _place(self) -> str:
        return ",".join(self.servers)


def stop_sending(producer: ProducerClient) -> None:
    """Send nothing from now on, whatever is still queued.

    A callback may call it, and should: the client's next step after a failed batch would be to send
    the batches behind it, which puts them before the failed one for good.
    """
    _sender(producer).force_close()


def end(producer: ProducerClient) -> bool:
    """Stop, close, and say whether the client is gone in time; what was queued has failed then."""
    stop_sending(producer)
    sender = _sender(producer)
    sender.join(_STOP_TIMEOUT_S)
    with suppress(KafkaError):  # raised when something is queued, after what matters is done
        producer.close(timeout=0)
    return not sender.is_alive()


def _sender(producer: ProducerClient) -> Any:
    # There is no public way: close() first waits for what is queued, and gives up if that takes
    # too long, with the thread still sending.
    return producer._sender  # type: ignore[attr-defined]  # noqa: SLF001
