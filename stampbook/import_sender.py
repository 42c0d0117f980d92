"""Sends an import's commands and stays with each until the server has decided it.

Sending again is always safe: a command's id makes it count once. So whatever stands in the way
for a while (a restart, a full server, a lost connection) only takes time.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence

import msgspec

from stampbook.client import NDJSON, Client
from stampbook.failures import Failure, Refused, Unreachable
from stampbook.import_source import Line

PATIENCE_S = 300.0
_DELAY_S_MAX = 15.0
_TOO_MANY = 429
_OUR_FAULT_MAX = 499
_HEADERS = {"Content-Type": NDJSON, "Accept": NDJSON, "Prefer": "wait=30, stampbook-repeats"}


class Answer(msgspec.Struct):
    """What the server says of one command: an outcome, or a problem."""

    type: str = ""
    id: str = ""
    outcome: str = ""  # empty: it is a problem
    code: str = ""
    status: int = 0
    repeated: bool = False
    raw: msgspec.Raw = msgspec.Raw(b"")

    @property
    def is_final(self) -> bool:
        """Whether sending the command again would not change the answer."""
        if self.outcome:
            # Accepted without a code is not decided yet; with one it waits for its purchase.
            return self.outcome != "accepted" or bool(self.code)
        return self.status != _TOO_MANY and self.status <= _OUR_FAULT_MAX


class Interrupted(Exception):
    """The person stopped the import."""


_answer = msgspec.json.Decoder(Answer).decode


class Sender:
    """Asks one server; many threads may use it at once."""

    def __init__(self, client: Client, *, patience_s: float = PATIENCE_S) -> None:
        self._client = client
        self._patience_s = patience_s
        self._heard_at_s = time.monotonic()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let every thread come back soon, with `Interrupted`."""
        self._stopped.set()

    def decide(self, lines: Sequence[Line]) -> list[Answer]:
        """The final answers to these commands, in their order.

        Raises:
            Refused: the server wants none of it, for example for want of a key.
            Unreachable: it has not answered for longer than our patience.
            Interrupted: see `stop`.
        """
        answers: dict[int, Answer] = {}
        undecided = list(range(len(lines)))
        delay_s = 0.25
        while True:
            wait_s = delay_s
            failure: Failure | None = None
            try:
                self._ask([lines[n] for n in undecided], undecided, answers)
            except Unreachable as error:
                failure = error
            except Refused as refusal:
                status = int(refusal.problem.get("status", 0))
                if status != _TOO_MANY and status <= _OUR_FAULT_MAX:
                    raise
                failure = refusal
                wait_s = max(delay_s, float(refusal.problem.get("retry_after_s", 0)))
            undecided = [n for n in undecided if n not in answers]
            if not undecided:
                return [answers[n] for n in range(len(lines))]
            self._rest(wait_s, failure)
            delay_s = min(2 * delay_s, _DELAY_S_MAX)

    def _ask(self, lines: Sequence[Line], numbers: Sequence[int], into: dict[int, Answer]) -> None:
        """Send once and keep every final answer, also of an answer that broke off."""
        body = b"\n".join(line.raw for line in lines) + b"\n"
        waiting = iter(numbers)
        for raw in self._client.post_lines("/v1/batches", body, _HEADERS):
            self._heard_at_s = time.monotonic()
            number = next(waiting, None)
            if number is None:
                raise Failure("The server answered more lines than it was sent.")
            answer = _answer(raw)
            if answer.is_final:
                answer.raw = msgspec.Raw(raw)
                into[number] = answer

    def _rest(self, delay_s: float, failure: Failure | None) -> None:
        """Wait a little, not all threads equally long; or give up."""
        if failure and time.monotonic() - self._heard_at_s > self._patience_s:
            raise failure
        if self._stopped.wait(delay_s * random.uniform(0.75, 1.25)):  # noqa: S311 - no secret
            raise Interrupted
