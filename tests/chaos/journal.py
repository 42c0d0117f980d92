"""What was asked for and what was answered: all that the checker knows beside the log."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.chaos.commands import Command

RECORDED, DECLINED, ACCEPTED = "recorded", "declined", "accepted"


@dataclass(slots=True)
class Attempt:
    """One sending of one command."""

    sent_at_s: float
    answered_at_s: float | None = None
    answer: str | None = None  # an outcome; None: nobody knows


@dataclass(slots=True)
class Line:
    """One command and all its sendings, by whichever door."""

    command: Command
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"{self.command.type} {self.command.id}"

    @property
    def answers(self) -> set[str]:
        """Outcomes that were told."""
        return {attempt.answer for attempt in self.attempts if attempt.answer is not None}

    @property
    def is_acknowledged(self) -> bool:
        """Somebody was told that it is safe, or decided."""
        return bool(self.answers)

    @property
    def first_sent_at_s(self) -> float:
        """Before this it cannot have been recorded."""
        return min(attempt.sent_at_s for attempt in self.attempts)

    @property
    def acknowledged_at_s(self) -> float:
        """From then on it was safe."""
        return min(
            attempt.answered_at_s
            for attempt in self.attempts
            if attempt.answer is not None and attempt.answered_at_s is not None
        )


Name = tuple[str, str, str]
"""Of a command: merchant, type, id."""


class Journal:
    """Kept by all clients together."""

    def __init__(self) -> None:
        self.lines: dict[Name, Line] = {}
        self.surprises: list[str] = []  # answers that nobody should ever get
        self.garbage: list[tuple[int, int, bytes]] = []  # partition, offset and bytes, acknowledged
        self.garbage_sent: set[bytes] = set()
        self._lock = threading.Lock()

    @contextmanager
    def sending(self, command: Command) -> Iterator[Attempt]:
        """Note one sending; whoever sends fills the answer in."""
        attempt = Attempt(time.monotonic())
        name = (command.merchant, command.type, command.id)
        with self._lock:
            self.lines.setdefault(name, Line(command)).attempts.append(attempt)
        yield attempt
        attempt.answered_at_s = time.monotonic()

    def line(self, command: Command) -> Line:
        return self.lines[command.merchant, command.type, command.id]

    def of_type(self, type_: str) -> list[Line]:
        return [line for line in self.lines.values() if line.command.type == type_]

    @property
    def sendings(self) -> int:
        return sum(len(line.attempts) for line in self.lines.values())
