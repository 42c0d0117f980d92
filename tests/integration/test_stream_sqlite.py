"""The log in SQLite: what a killed process, a full disk and a trimmed log leave behind."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.runtime.stream import (
    Message,
    Record,
    Stream,
    StreamUnavailable,
    open_stream,
    partition_of,
)
from tests.support.append_forever import KEYS
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
def path(tmp_path: Path) -> Path:
    return tmp_path / "stream.db"


@pytest.fixture
def stream(path: Path) -> Iterator[Stream]:
    with opened(path) as stream:
        yield stream


@contextmanager
def opened(path: Path) -> Iterator[Stream]:
    stream = open_stream(f"sqlite://{path}", partitions=PARTITIONS)
    try:
        stream.ensure_topics()
        yield stream
    finally:
        stream.close()


@pytest.mark.parametrize("acknowledged_at_kill", [1, 2_000, 20_000])
def test_keeps_what_was_acknowledged_before_a_kill(path: Path, acknowledged_at_kill: int) -> None:
    program = [sys.executable, "-m", "tests.support.append_forever"]
    with subprocess.Popen(
        [*program, f"sqlite://{path}", "intake", str(PARTITIONS)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        acknowledged = 0
        while acknowledged < acknowledged_at_kill:
            acknowledged = int(process.stdout.readline())
        process.kill()
        acknowledged = max(acknowledged, *map(int, process.stdout.read().split()), 0)

    with opened(path) as stream:
        found = read_all(stream, "intake")
        stream.producer().append("intake", messages("after"))

    assert_gap_free(found)
    by_key = defaultdict(list)
    for record in found:
        by_key[record.key].append(int(record.value))
    for n in range(KEYS):
        numbers = by_key[f"m-{n}"]
        assert numbers == list(range(n, n + KEYS * len(numbers), KEYS))
        assert len(numbers) >= acknowledged // KEYS


def test_says_that_the_disk_is_full_and_goes_on_when_it_is_not(stream: Stream, path: Path) -> None:
    producer = stream.producer()
    written = 0

    disk_is_full = no_file_larger_than(path.stat().st_size + (1 << 20))
    with disk_is_full, pytest.raises(StreamUnavailable, match=r"disk|full"):
        while written < 1_000:
            producer.append("intake", [Message("m-1", b"x" * 100_000)])
            written += 1
    producer.append("intake", messages("after"))

    found = read_all(stream, "intake")
    assert [len(record.value) for record in found] == [100_000] * written + [5]
    assert_gap_free(found)


def test_fails_what_is_submitted_after_it_was_closed(stream: Stream) -> None:
    producer = stream.producer()
    under_way = producer.submit("intake", messages("before"))

    stream.close()

    assert under_way.exception(0) is None
    assert isinstance(producer.submit("intake", messages("after")).exception(0), StreamUnavailable)


def test_wakes_readers_when_it_closes(stream: Stream) -> None:
    with reading(stream, "intake") as reader:
        timer = threading.Timer(0.1, stream.close)
        timer.start()
        with pytest.raises(StreamUnavailable, match="closed"):
            reader.poll(max_records=1, timeout_s=PATIENCE_S)
        timer.join()


def test_forgets_what_is_trimmed_but_never_gives_an_offset_again(path: Path) -> None:
    with opened(path) as stream:
        stream.producer().append("intake", messages(*map(str, range(5_000))))
        stream.trim("intake", {MINE: 4_000})
        with reading(stream, "intake") as reader:
            kept = read(reader, 1_000)
        stream.trim("intake", {MINE: 5_000, MINE + 1: 7})
    with opened(path) as stream:
        newest = stream.last("intake", MINE)
        stream.producer().append("intake", messages("next"))
        with reading(stream, "intake", {MINE: 3}) as reader:
            found = read(reader, 2)

    assert [record.offset for record in kept] == list(range(4_000, 5_000))
    assert newest is not None
    assert [(r.offset, r.value) for r in found] == [(4_999, b"4999"), (5_000, b"next")]
    assert newest == found[0]


def test_appends_while_it_trims(stream: Stream) -> None:
    producer = stream.producer()
    for _ in range(10):
        producer.append("intake", messages("-") * 5_000)
    trimming = threading.Thread(target=stream.trim, args=["intake", {MINE: 50_000}])
    appended = 0

    trimming.start()
    while trimming.is_alive():
        producer.append("intake", messages("meanwhile"))
        appended += 1
    trimming.join()

    assert appended > 1
    with reading(stream, "intake", {MINE: 50_000}) as reader:
        assert values(read(reader, appended)) == ["meanwhile"] * appended


def test_sees_what_another_process_appends(stream: Stream, path: Path) -> None:
    with opened(path) as other, reading(stream, "intake") as reader:
        timer = threading.Timer(0.1, other.producer().append, ["intake", messages("from afar")])
        timer.start()
        found = read(reader, 1)
        timer.join()

    assert values(found) == ["from afar"]


def test_two_processes_share_the_offsets(stream: Stream, path: Path) -> None:
    with opened(path) as other:
        producers = [stream.producer(), other.producer()]

        def append(name: int) -> None:
            for n in range(200):
                producers[name].append("intake", messages(f"{name}/{n}"))

        in_threads(lambda: append(0), lambda: append(1))

    found = read_all(stream, "intake")
    assert_gap_free(found)
    assert sorted(values(found)) == sorted(f"{p}/{n}" for p in range(2) for n in range(200))


def test_a_busy_partition_leaves_room_for_the_others(stream: Stream) -> None:
    few = [Message(f"m-{n}", b"few") for n in range(20)]
    stream.producer().append("intake", messages("many") * 1_000)
    stream.producer().append("intake", few)

    with reading(stream, "intake") as reader:
        page = reader.poll(max_records=100, timeout_s=1)

    in_page = Counter(record.partition for record in page)
    elsewhere = Counter(partition_of(message.key, PARTITIONS) for message in few)
    assert len(page) == 100
    assert all(in_page[n] == elsewhere[n] for n in range(PARTITIONS) if n != MINE)


def test_every_partition_has_its_turn_even_in_pages_of_one(stream: Stream) -> None:
    keys = {partition_of(f"m-{n}", PARTITIONS): f"m-{n}" for n in range(50)}
    stream.producer().append("intake", [Message(key, b"-") for key in keys.values()] * 100)

    with reading(stream, "intake") as reader:
        pages = [reader.poll(max_records=1, timeout_s=1) for _ in range(2 * PARTITIONS)]

    assert Counter(page[0].partition for page in pages) == dict.fromkeys(range(PARTITIONS), 2)


def test_a_file_that_is_no_stream_is_unavailable(tmp_path: Path) -> None:
    other = tmp_path / "letter.txt"
    other.write_text("Dear Sir or Madam, " * 1_000)

    for path in (other, tmp_path / "nowhere" / "stream.db"):
        with pytest.raises(StreamUnavailable, match=path.name):
            open_stream(f"sqlite://{path}")
    with pytest.raises(ValueError, match="starts with"):
        open_stream(str(other))


def assert_gap_free(records: list[Record]) -> None:
    by_partition = defaultdict(list)
    for record in records:
        by_partition[record.partition].append(record.offset)
    for offsets in by_partition.values():
        assert offsets == list(range(len(offsets)))


@contextmanager
def no_file_larger_than(size_bytes: int) -> Iterator[None]:
    """A full disk, as far as this process can tell (Python ignores the signal that comes too)."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
