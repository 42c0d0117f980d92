"""What a stream promises, shown on the log in SQLite and on the real Kafka alike."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from services.runtime.stream import (
    MESSAGE_BYTES_MAX,
    TOPICS,
    Message,
    PartitionsDiffer,
    Record,
    Stream,
    StreamFull,
    StreamUnavailable,
    UnknownTopic,
    open_stream,
    partition_of,
)
from services.runtime.stream_submission import MESSAGES_IN_FLIGHT_MAX
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


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/stream.db"
    kafka_url = request.getfixturevalue("kafka_url")
    return f"{kafka_url}?replication=1&prefix={secrets.token_hex(4)}-"


@pytest.fixture
def stream(url: str) -> Iterator[Stream]:
    stream = open_stream(url, partitions=PARTITIONS)
    stream.ensure_topics()
    yield stream
    stream.close()


def test_gives_back_what_was_appended(stream: Stream) -> None:
    message = Message("m-1", b"\x00 any bytes \xff", (("traceparent", b"00-1"), ("empty", b"")))
    before_ms = time.time() * 1000

    stream.producer().append("intake", [message])

    with reading(stream, "intake") as reader:
        [record] = read(reader, 1)
    assert Message(record.key, record.value, record.headers) == message
    assert (record.partition, record.offset) == (partition_of("m-1", PARTITIONS), 0)
    assert abs(record.appended_at_ms - before_ms) < PATIENCE_S * 1000


def test_takes_any_text_as_key_and_an_empty_value(stream: Stream) -> None:
    sent = [Message(key, b"") for key in ("", "ö😀", "a" * 10_000)]

    stream.producer().append("intake", sent)

    with reading(stream, "intake") as reader:
        found = {record.key: record for record in read(reader, 3)}
    assert set(found) == {message.key for message in sent}
    assert {record.value for record in found.values()} == {b""}


def test_refuses_a_key_that_is_no_text_and_nothing_else(stream: Stream) -> None:
    producer = stream.producer()

    bad = producer.submit("intake", [Message("\ud800", b"bad")])
    good = producer.submit("intake", messages("good"))

    good.result(PATIENCE_S)
    with pytest.raises(ValueError, match="surrogates"):
        bad.result(PATIENCE_S)
    assert values(read_all(stream, "intake")) == ["good"]


def test_keeps_the_order_of_each_key(stream: Stream) -> None:
    sent = [Message(f"m-{n % 50}", str(n).encode()) for n in range(5_000)]
    producer = stream.producer()

    futures = [producer.submit("ledger", sent[n : n + 100]) for n in range(0, 5_000, 100)]
    for future in futures:
        future.result(PATIENCE_S)

    with reading(stream, "ledger") as reader:
        found = read(reader, 5_000, max_records=777)
    by_key = defaultdict(list)
    for record in found:
        by_key[record.key].append(int(record.value))
    assert by_key == {f"m-{n}": list(range(n, 5_000, 50)) for n in range(50)}


def test_every_one_of_many_callers_gets_its_answer(stream: Stream) -> None:
    producer = stream.producer()

    def call(caller: int) -> None:
        for n in range(10):
            producer.append("intake", messages(f"{caller}/{n}", key=f"m-{caller}"))

    in_threads(*(partial(call, caller) for caller in range(100)))

    found = read_all(stream, "intake")
    assert sorted(values(found)) == sorted(f"{c}/{n}" for c in range(100) for n in range(10))
    mine = [record.value.decode() for record in found if record.key == "m-7"]
    assert mine == [f"7/{n}" for n in range(10)]


def test_reads_only_the_partitions_asked_for_from_the_offsets_asked_for(stream: Stream) -> None:
    stream.producer().append("ledger", [Message(f"m-{n}", b"-") for n in range(200)])

    with reading(stream, "ledger", {2: 5, 3: 7}) as reader:
        ends = reader.end_offsets()
        found = read(reader, ends[2] - 5 + ends[3] - 7)

    assert {record.partition for record in found} == {2, 3}
    for partition, first in ((2, 5), (3, 7)):
        offsets = [record.offset for record in found if record.partition == partition]
        assert offsets == list(range(first, ends[partition]))


def test_a_reader_can_go_back(stream: Stream) -> None:
    stream.producer().append("ledger", messages("a", "b", "c"))
    partition = partition_of("m-1", PARTITIONS)

    with reading(stream, "ledger") as reader:
        read(reader, 3)
        reader.seek({partition: 1})
        again = read(reader, 2)

    assert values(again) == ["b", "c"]


def test_an_offset_beyond_the_end_starts_at_the_first_record(stream: Stream) -> None:
    stream.producer().append("ledger", messages("a", "b"))

    with reading(stream, "ledger", {partition_of("m-1", PARTITIONS): 3}) as reader:
        found = read(reader, 2)

    assert values(found) == ["a", "b"]


def test_a_page_is_never_larger_than_asked(stream: Stream) -> None:
    stream.producer().append("ledger", [Message(f"m-{n}", b"-") for n in range(100)])

    found: list[Record] = []
    largest_page = 0
    with reading(stream, "ledger") as reader:
        while len(found) < 100:
            page = reader.poll(max_records=7, timeout_s=1)
            found += page
            largest_page = max(largest_page, len(page))

    assert largest_page <= 7
    assert len({(record.partition, record.offset) for record in found}) == 100


def test_nothing_appended_is_nothing_to_read(stream: Stream) -> None:
    stream.producer().append("ledger", [])

    with reading(stream, "ledger") as reader:
        assert reader.poll(max_records=10, timeout_s=0.05) == []


def test_poll_wakes_for_what_is_appended_meanwhile(stream: Stream) -> None:
    producer = stream.producer()
    with reading(stream, "ledger") as reader:
        timer = threading.Timer(0.1, producer.append, ["ledger", messages("news")])
        timer.start()
        found = reader.poll(max_records=10, timeout_s=PATIENCE_S)
        timer.join()

    assert values(found) == ["news"]


def test_knows_where_every_partition_ends(stream: Stream) -> None:
    stream.producer().append("rewards", messages("a", "b", "c"))

    reader = stream.reader("rewards")
    ends = reader.end_offsets()
    reader.close()

    mine = partition_of("m-1", PARTITIONS)
    assert ends == {n: 3 if n == mine else 0 for n in range(PARTITIONS)}


def test_knows_the_newest_record_of_a_partition(stream: Stream) -> None:
    partition = partition_of("m-1", PARTITIONS)

    before = stream.last("ledger", partition)
    stream.producer().append("ledger", messages("a", "b"))
    after = stream.last("ledger", partition)

    assert before is None
    assert after is not None
    assert (after.offset, after.key, after.value) == (1, "m-1", b"b")


def test_goes_on_where_it_ended_when_opened_again(url: str, stream: Stream) -> None:
    stream.producer().append("intake", messages("a"))
    stream.close()

    again = open_stream(url, partitions=PARTITIONS)
    again.ensure_topics()
    again.producer().append("intake", messages("b"))

    found = read_all(again, "intake")
    again.close()
    assert [(record.offset, record.value) for record in found] == [(0, b"a"), (1, b"b")]


def test_has_its_topics_once_and_no_others(stream: Stream) -> None:
    stream.ensure_topics()

    assert [stream.partition_count(topic) for topic in TOPICS] == [PARTITIONS] * len(TOPICS)
    with pytest.raises(UnknownTopic):
        stream.partition_count("gossip")
    with pytest.raises(UnknownTopic):
        stream.producer().append("gossip", messages("a"))


def test_never_goes_on_with_another_number_of_partitions(url: str, stream: Stream) -> None:
    other = open_stream(url, partitions=PARTITIONS + 1)

    with pytest.raises(PartitionsDiffer, match=r"intake has 4 partitions, the settings say 5"):
        other.ensure_topics()
    other.close()
    assert stream.partition_count("intake") == PARTITIONS


def test_a_full_window_refuses_at_once_and_empties_again(stream: Stream) -> None:
    producer = stream.producer()
    larger_than_the_window = messages("-") * (MESSAGES_IN_FLIGHT_MAX + 1)

    first = producer.submit("intake", larger_than_the_window)
    with pytest.raises(StreamFull):
        producer.submit("intake", messages("refused"))

    first.result(PATIENCE_S)
    producer.append("intake", messages("accepted"))


def test_carries_a_message_of_the_largest_size_and_refuses_a_larger_one(stream: Stream) -> None:
    producer = stream.producer()
    largest = Message("m-1", b"x" * (MESSAGE_BYTES_MAX - 3))

    with pytest.raises(ValueError, match="at most"):
        producer.submit("intake", [Message("m-12", largest.value)])
    producer.append("intake", [largest, *messages("next")])

    assert [len(record.value) for record in read_all(stream, "intake")] == [len(largest.value), 4]


async def test_a_caller_that_goes_away_takes_nobody_along(stream: Stream) -> None:
    producer = stream.producer()
    waiting = asyncio.wrap_future(producer.submit("intake", messages("a")))

    waiting.cancel()

    await asyncio.wrap_future(producer.submit("intake", messages("b")))
    assert values(read_all(stream, "intake")) == ["a", "b"]


def test_a_closed_producer_has_delivered_and_refuses(stream: Stream) -> None:
    producer, other = stream.producer(), stream.producer()

    futures = [producer.submit("intake", messages(str(n))) for n in range(100)]
    producer.close()

    assert all(future.exception(0) is None for future in futures)
    assert isinstance(producer.submit("intake", messages("late")).exception(1), StreamUnavailable)
    other.append("intake", messages("other"))
    assert len(read_all(stream, "intake")) == 101


def test_a_closed_stream_answers_no_questions(stream: Stream) -> None:
    stream.close()

    with pytest.raises(StreamUnavailable):
        stream.ensure_topics()
    with pytest.raises(StreamUnavailable):
        stream.last("intake", 0)
