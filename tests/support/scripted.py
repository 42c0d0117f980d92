"""A stream that delivers just what a test writes down: redelivered, torn, or out of a bad dream."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from services.runtime.stream import Message, Producer, Reader, Record


class ScriptedStream:
    """Each poll answers the next page, wherever the reader wanted to be; then it stops the role."""

    def __init__(self, *, partitions: int = 12) -> None:
        self.partitions = partitions
        self.pages: list[list[Record]] = []
        self.appended: list[tuple[str, Message]] = []
        self.stop = threading.Event()

    def play(self, *pages: Sequence[Record]) -> None:
        """What the next run will see, page by page."""
        self.pages += [list(page) for page in pages]
        self.stop.clear()

    def ensure_topics(self) -> None:
        pass

    def partition_count(self, topic: str) -> int:  # noqa: ARG002
        return self.partitions

    def producer(self) -> Producer:
        return _Producer(self)

    def reader(self, topic: str) -> Reader:  # noqa: ARG002
        return _Reader(self)

    def last(self, topic: str, partition: int) -> Record | None:  # noqa: ARG002
        return None

    def trim(self, topic: str, offsets: Mapping[int, int]) -> None:
        pass

    def close(self) -> None:
        pass


class _Reader:
    def __init__(self, stream: ScriptedStream) -> None:
        self._stream = stream

    def seek(self, offsets: Mapping[int, int]) -> None:
        pass

    def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:  # noqa: ARG002
        if self._stream.pages:
            return self._stream.pages.pop(0)
        self._stream.stop.set()
        return []

    def end_offsets(self) -> dict[int, int]:
        return {}

    def close(self) -> None:
        pass


class _Producer:
    def __init__(self, stream: ScriptedStream) -> None:
        self._stream = stream

    def submit(self, topic: str, messages: Sequence[Message]) -> Future[None]:
        self._stream.appended += [(topic, message) for message in messages]
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def append(self, topic: str, messages: Sequence[Message], *, timeout_s: float = 30) -> None:
        self.submit(topic, messages).result(timeout=timeout_s)

    def close(self) -> None:
        pass
