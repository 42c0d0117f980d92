"""What tests of the stream have in common."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from services.runtime.stream import Message, Reader, Record, Stream

PARTITIONS = 4
PATIENCE_S = 30.0


def messages(*values: str, key: str = "m-1") -> list[Message]:
    return [Message(key, value.encode()) for value in values]


@contextmanager
def reading(
    stream: Stream, topic: str, offsets: Mapping[int, int] | None = None
) -> Iterator[Reader]:
    """A reader from these offsets on, or from the beginning of every partition."""
    reader = stream.reader(topic)
    try:
        reader.seek(offsets or dict.fromkeys(range(stream.partition_count(topic)), 0))
        yield reader
    finally:
        reader.close()


def read(reader: Reader, count: int, *, max_records: int = 1_000) -> list[Record]:
    """Poll until there are ``count`` records, and fail when they do not come."""
    records: list[Record] = []
    give_up_at_s = time.monotonic() + PATIENCE_S
    while len(records) < count:
        assert time.monotonic() < give_up_at_s, f"{len(records)} of {count} records came"
        records += reader.poll(max_records=max_records, timeout_s=0.2)
    return records


def read_all(stream: Stream, topic: str) -> list[Record]:
    """Everything that the topic holds, of which nothing was trimmed."""
    with reading(stream, topic) as reader:
        return read(reader, sum(reader.end_offsets().values()))


def values(records: Iterable[Record]) -> list[str]:
    return [record.value.decode() for record in records]


def in_threads(*tasks: Callable[[], None]) -> None:
    """Run all at once, wait for all, and raise what any of them raised."""
    errors: list[BaseException] = []

    def run(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=[task]) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), "a task does not end"
