"""The stream on the real Kafka: what failing, dying and foreign things do to it."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from services.runtime.stream import (
    Message,
    Stream,
    StreamUnavailable,
    open_stream,
    partition_of,
)
from tests.support.server import free_port
from tests.support.stack import Stack
from tests.support.streams import (
    PARTITIONS,
    PATIENCE_S,
    in_threads,
    messages,
    read,
    read_all,
    reading,
    values,
)

MINE = partition_of("m-1", PARTITIONS)


@pytest.fixture
def prefix() -> str:
    return f"{secrets.token_hex(4)}-"


@pytest.fixture
def stream(kafka_url: str, prefix: str) -> Iterator[Stream]:
    stream = open_stream(f"{kafka_url}?prefix={prefix}", partitions=PARTITIONS)
    stream.ensure_topics()
    yield stream
    stream.close()


def test_nothing_behind_a_failed_message_is_ever_sent(kafka_url: str, prefix: str) -> None:
    with admin(kafka_url) as kafka:
        limited = {"num_partitions": PARTITIONS, "configs": {"max.message.bytes": "300000"}}
        kafka.create_topics({f"{prefix}intake": limited}, wait_for_metadata=True)
    stream = open_stream(f"{kafka_url}?prefix={prefix}", partitions=PARTITIONS)
    stream.ensure_topics()
    producer = stream.producer()
    producer.append("intake", messages("before"))

    refused = Message("m-1", b"x" * 400_000)
    behind = [Message("m-1", b"behind" * 150)] * 5_000
    futures = [producer.submit("intake", call) for call in ([refused, *behind], behind)]
    errors = [future.exception(PATIENCE_S) for future in futures]
    producer.append("intake", messages("after"))

    assert [type(error) for error in errors] == [StreamUnavailable] * 2
    assert values(read_all(stream, "intake")) == ["before", "after"]
    stream.close()


def test_goes_on_in_order_when_the_broker_was_killed(stack: Stack, stream: Stream) -> None:
    producer = stream.producer()
    numbers = [str(n) for n in range(600)]
    durable = 0

    def append_all() -> None:
        nonlocal durable
        while durable < len(numbers):
            try:
                producer.append("ledger", messages(*numbers[durable : durable + 5]))
                durable += 5
            except StreamUnavailable:
                continue

    appending = threading.Thread(target=append_all)
    with reading(stream, "ledger") as reader:
        appending.start()
        found = read(reader, 50)
        stack.kafka.kill()
        stack.kafka.start()
        appending.join(2 * PATIENCE_S)
        found += read(reader, sum(reader.end_offsets().values()) - len(found))

    assert durable == len(numbers)
    assert list(dict.fromkeys(values(found))) == numbers


def test_says_that_a_frozen_broker_does_not_answer(stack: Stack, stream: Stream) -> None:
    producer = stream.producer()
    producer.append("ledger", messages("before"))

    def ask_what_nobody_knows() -> None:
        with pytest.raises(StreamUnavailable):
            stream.partition_count("gossip")

    def poll_until_unavailable() -> None:
        give_up_at_s = time.monotonic() + PATIENCE_S
        with pytest.raises(StreamUnavailable, match="cannot read ledger"):
            while time.monotonic() < give_up_at_s:
                reader.poll(max_records=1, timeout_s=0.5)

    with reading(stream, "ledger") as reader:
        read(reader, 1)
        threads_before = threading.active_count()
        with frozen(stack.kafka.pid):
            in_threads(ask_what_nobody_knows, poll_until_unavailable)
            after = producer.submit("ledger", messages("after"))
        after.result(PATIENCE_S)
        found = read(reader, 1)

    assert values(found) == ["after"]
    assert threading.active_count() <= threads_before


def test_is_unavailable_at_once_where_no_broker_listens() -> None:
    stream = open_stream(f"kafka://127.0.0.1:{free_port()}")
    producer, reader = stream.producer(), stream.reader("intake")
    threads = threading.active_count()
    started_at_s = time.monotonic()

    for _ in range(10):
        for question in (
            stream.ensure_topics,
            reader.end_offsets,
            lambda: reader.seek({0: 0}),
            lambda: producer.append("intake", messages("a")),
        ):
            with pytest.raises(StreamUnavailable):
                question()

    stream.close()
    assert time.monotonic() - started_at_s < PATIENCE_S
    assert threading.active_count() < threads


def test_an_offset_that_retention_took_moves_up(
    kafka_url: str, prefix: str, stream: Stream
) -> None:
    stream.producer().append("intake", messages("0", "1", "2", "3"))
    with admin(kafka_url) as kafka:
        kafka.delete_records({TopicPartition(f"{prefix}intake", MINE): 2})

    with reading(stream, "intake", {MINE: 1}) as reader:
        found = read(reader, 2)

    assert [(record.offset, record.value) for record in found] == [(2, b"2"), (3, b"3")]


def test_the_newest_record_may_have_gone(kafka_url: str, prefix: str, stream: Stream) -> None:
    stream.producer().append("intake", messages("0", "1"))
    with admin(kafka_url) as kafka:
        kafka.delete_records({TopicPartition(f"{prefix}intake", MINE): 2})

    assert stream.last("intake", MINE) is None


@pytest.mark.parametrize("compression", [None, "gzip", "lz4"])
def test_reads_whatever_other_clients_write(
    kafka_url: str, prefix: str, stream: Stream, compression: str | None
) -> None:
    other = KafkaProducer(
        bootstrap_servers=kafka_url.removeprefix("kafka://"), compression_type=compression
    )
    for key, value, headers in (
        (None, b"no key", []),
        (b"\xff", None, []),
        (b"k", b"header of no text", [(NoText("?"), b"lost")]),
        (b"k", b"last", [("h", b"\xff")]),
    ):
        other.send(f"{prefix}intake", value, key=key, headers=headers, partition=0)
    other.close()

    with reading(stream, "intake") as reader:
        found = read(reader, 4)

    assert [(record.key, record.value, record.headers) for record in found] == [
        ("", b"no key", ()),
        ("\\xff", b"", ()),
        ("k", b"header of no text", ()),
        ("k", b"last", (("h", b"\xff"),)),
    ]
    assert [record.offset for record in found] == [0, 1, 2, 3]
    assert abs(found[2].appended_at_ms - found[3].appended_at_ms) < PATIENCE_S * 1000


def test_never_sees_what_another_client_took_back(
    kafka_url: str, prefix: str, stream: Stream
) -> None:
    other = KafkaProducer(
        bootstrap_servers=kafka_url.removeprefix("kafka://"), transactional_id=f"{prefix}till"
    )
    other.init_transactions()
    for value, end in ((b"kept", other.commit_transaction), (b"undone", other.abort_transaction)):
        other.begin_transaction()
        other.send(f"{prefix}intake", value, key=b"m-1", partition=MINE)
        end()
    other.close()
    stream.producer().append("intake", messages("next"))

    with reading(stream, "intake") as reader:
        found = read(reader, 2)

    assert values(found) == ["kept", "next"]


@pytest.mark.parametrize("url", ["kafka://", "kafka://a?replicas=3", "kafka://a?replication=x"])
def test_refuses_a_url_that_it_does_not_understand(url: str) -> None:
    with pytest.raises(ValueError, match=r"kafka:|replication|invalid"):
        open_stream(url)


class NoText(str):
    """The name of a header as a client in another language may write it."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return b"\xff\xfe"


@contextmanager
def admin(kafka_url: str) -> Iterator[Any]:
    client = KafkaAdminClient(bootstrap_servers=kafka_url.removeprefix("kafka://"))
    try:
        yield client
    finally:
        client.close()


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
