"""Appending to Kafka: bounded, in order, and stopped dead by the first failure.

After a batch has failed, kafka-python goes on with the batches behind it, so that what is sent
again comes too late. Here the first failure ends the client before it can send anything more, and
everything accepted until then fails, whether it has arrived or not; a new client starts with what
is submitted next. Callers send again what they need: messages may come twice, never out of order.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from kafka.errors import KafkaError

from services.runtime.stream import Message, StreamUnavailable, UnknownTopic, partition_of
from services.runtime.stream_kafka_client import (
    DELIVERY_TIMEOUT_S,
    Acknowledgement,
    Cluster,
    ProducerClient,
    end,
    stop_sending,
)
from services.runtime.stream_submission import Submission, Window, wait_until_durable

_LOG = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 1.0
_GIVE_UP_AFTER_S: Final = DELIVERY_TIMEOUT_S + 5  # in case the client itself does not
_CLOSE_TIMEOUT_S: Final = 10.0


class KafkaProducer:
    """A thread that owns one client of kafka-python at a time."""

    def __init__(self, cluster: Cluster, partition_count: Callable[[str], int]) -> None:
        self._cluster = cluster
        self._partition_count = partition_count
        self._window = Window()
        self._session: _Session | None = None
        self._queue: deque[Submission] = deque()
        self._is_closed = False
        self._is_ending = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="stream-producer", daemon=True)
        self._thread.start()

    def submit(self, topic: str, messages: Sequence[Message]) -> Future[None]:
        submission = Submission(topic, messages, self._window)
        with self._changed:
            is_accepted = not self._is_closed
            if is_accepted:
                self._queue.append(submission)
                self._changed.notify()
        if not is_accepted:
            submission.fail(StreamUnavailable("the producer is closed"))
        return submission.future

    def append(self, topic: str, messages: Sequence[Message], *, timeout_s: float = 30) -> None:
        wait_until_durable(self.submit(topic, messages), timeout_s=timeout_s)

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
        self._window.wait_until_empty(_CLOSE_TIMEOUT_S)
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        self._thread.join(_CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while not self._is_ending:
            submission = self._next()
            try:
                self._look_after_session()
                if submission is not None:
                    self._send(submission)
            except Exception as error:
                # Whatever the client does to this thread: it answers, and goes on with a new one.
                if not isinstance(error, StreamUnavailable):
                    _LOG.exception("producer failed")
                self._stop(error, submission)
        self._stop(StreamUnavailable("the producer is closed"), None)

    def _next(self) -> Submission | None:
        """What was submitted first, or None when it is time to look after the session."""
        with self._changed:
            if not self._queue and not self._is_ending:
                self._changed.wait(_LOOK_EVERY_S)
            return self._queue.popleft() if self._queue else None

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _look_after_session(self) -> None:
        if self._session is not None:
            self._session.check()

    def _send(self, submission: Submission) -> None:
        try:
            count = self._partition_count(submission.topic)
            partitions = [partition_of(message.key, count) for message in submission.messages]
        except (UnknownTopic, ValueError) as refusal:
            submission.fail(refusal)
            return
        if self._session is None:
            self._session = _Session(self._cluster.producer(), wake=self._wake)
        name = self._cluster.topic_name(submission.topic)
        self._session.send(submission, name, partitions)

    def _stop(self, error: Exception, submission: Submission | None) -> None:
        """End the session, and only then fail everything that was accepted so far."""
        doomed = [] if self._session is None else self._session.end()
        self._session = None
        with self._changed:
            doomed += [submission] if submission and submission not in doomed else []
            doomed += self._queue
            self._queue.clear()
        if doomed:
            _LOG.warning("messages failed", extra={"calls": len(doomed), "error": str(error)})
        for each in doomed:
            each.fail(StreamUnavailable(f"not acknowledged: {error}"))


@dataclass(slots=True)
class _Progress:
    """How far one submission has come."""

    submission: Submission
    started_at_s: float
    acknowledgements: list[Acknowledgement]
    partitions_left: int


class _Session:
    """One client, from its first message to its first failure."""

    def __init__(self, client: ProducerClient, *, wake: Callable[[], None]) -> None:
        self._client = client
        self._wake = wake
        self._failure: Exception | None = None
        self._under_way: dict[Submission, _Progress] = {}  # in the order of sending
        self._guard = threading.Lock()

    def send(self, submission: Submission, topic_name: str, partitions: Sequence[int]) -> None:
        """Hand all messages to the client.

        Raises:
            StreamUnavailable: it failed, with these messages or with earlier ones.
        """
        progress = _Progress(submission, time.monotonic(), [], len(set(partitions)))
        with self._guard:
            self._under_way[submission] = progress
        newest: dict[int, Acknowledgement] = {}
        try:
            for message, partition in zip(submission.messages, partitions, strict=True):
                newest[partition] = self._client.send(
                    topic_name,
                    value=message.value,
                    key=message.key.encode(),
                    headers=list(message.headers),
                    partition=partition,
                )
                newest[partition].add_errback(self._fail)
                progress.acknowledgements.append(newest[partition])
        except KafkaError as error:
            self._fail(error)
            self.check()
        # A partition's messages are acknowledged in order: its newest one tells of all of them.
        for acknowledgement in newest.values():
            acknowledgement.add_callback(self._reach, progress)
        if not newest:
            self._settle(progress)

    def check(self) -> None:
        """Look whether all is well.

        Raises:
            StreamUnavailable: it failed, or the oldest submission waits for longer than it should.
        """
        if self._failure is not None:
            raise StreamUnavailable(f"Kafka failed: {self._failure}") from self._failure
        with self._guard:
            oldest = next(iter(self._under_way.values()), None)
        if oldest and time.monotonic() - oldest.started_at_s > _GIVE_UP_AFTER_S:
            raise StreamUnavailable(f"no answer within {_GIVE_UP_AFTER_S:g} s")

    def end(self) -> list[Submission]:
        """Close the client; what it had not acknowledged, in the order of sending."""
        if not end(self._client):
            _LOG.warning("the client's thread does not end")
        with self._guard:
            rest = list(self._under_way)
            self._under_way.clear()
        return rest

    def _fail(self, error: Exception) -> None:
        """Runs on the client's thread, before it does anything else."""
        if self._failure is None:
            self._failure = error
            stop_sending(self._client)
            self._wake()

    def _reach(self, progress: _Progress, _: object) -> None:
        """Runs on the client's thread, once for each partition of a submission."""
        with self._guard:
            progress.partitions_left -= 1
            is_complete = progress.partitions_left == 0
        if is_complete and all(each.succeeded() for each in progress.acknowledgements):
            self._settle(progress)

    def _settle(self, progress: _Progress) -> None:
        with self._guard:
            is_mine = self._under_way.pop(progress.submission, None) is not None
        if is_mine:
            progress.submission.succeed()
