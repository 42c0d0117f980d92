"""What both producers share: a bounded window, and the one answer that each call of submit gets."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

from services.runtime.stream import MESSAGE_BYTES_MAX, Message, StreamFull, StreamUnavailable

MESSAGES_IN_FLIGHT_MAX: Final = 20_000
BYTES_IN_FLIGHT_MAX: Final = 64 << 20


class Window:
    """Bounds what one producer holds in memory. Thread-safe."""

    def __init__(
        self,
        *,
        messages_max: int = MESSAGES_IN_FLIGHT_MAX,
        bytes_max: int = BYTES_IN_FLIGHT_MAX,
    ) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._messages = 0
        self._bytes = 0
        self._changed = threading.Condition()

    def enter(self, *, messages: int, size_bytes: int) -> None:
        """Take room; ``leave`` gives it back.

        One call may be larger than the window as long as it is alone in it.

        Raises:
            StreamFull: no room.
        """
        with self._changed:
            is_too_much = (
                self._messages + messages > self._messages_max
                or self._bytes + size_bytes > self._bytes_max
            )
            if is_too_much and self._messages:
                raise StreamFull(f"{self._messages} messages wait for their acknowledgement")
            self._messages += messages
            self._bytes += size_bytes

    def leave(self, *, messages: int, size_bytes: int) -> None:
        """Give back what ``enter`` took."""
        with self._changed:
            self._messages -= messages
            self._bytes -= size_bytes
            self._changed.notify_all()

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Wait until everything was given back; False if that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._messages == 0, timeout_s)


class Submission:
    """The messages of one call of submit, on their way, and the future that answers for them."""

    def __init__(self, topic: str, messages: Sequence[Message], window: Window) -> None:
        """Enter the window.

        Raises:
            StreamFull: no room.
            ValueError: a message is larger than ``MESSAGE_BYTES_MAX``.
        """
        sizes = [len(message.key) + len(message.value) for message in messages]
        if max(sizes, default=0) > MESSAGE_BYTES_MAX:
            raise ValueError(f"{max(sizes)} bytes in one message, {MESSAGE_BYTES_MAX} at most")
        self.topic = topic
        self.messages = messages
        self.future: Future[None] = Future()
        # Nobody can take back what is on its way: a caller that goes away cancels only its waiting.
        self.future.set_running_or_notify_cancel()
        self._window = window
        self._size_bytes = sum(sizes)
        window.enter(messages=len(messages), size_bytes=self._size_bytes)

    def succeed(self) -> None:
        """All messages are durable."""
        self._leave()
        self.future.set_result(None)

    def fail(self, error: Exception) -> None:
        """At least one message may not be there."""
        self._leave()
        self.future.set_exception(error)

    def _leave(self) -> None:
        # Before the future is done, so that whoever it wakes finds room.
        self._window.leave(messages=len(self.messages), size_bytes=self._size_bytes)


def failed(error: Exception) -> Future[None]:
    """The answer to a call that was refused."""
    future: Future[None] = Future()
    future.set_exception(error)
    return future


def wait_until_durable(future: Future[None], *, timeout_s: float) -> None:
    """Wait for a future of submit.

    Raises:
        StreamUnavailable: it failed, or was not done in time.
    """
    try:
        future.result(timeout_s)
    except TimeoutError as error:
        raise StreamUnavailable(f"not confirmed within {timeout_s:g} s") from error
