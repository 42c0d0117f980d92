"""When a delivery is tried again, when it is given up, and how an ailing endpoint is spared.

Only a 2xx answer is a delivery. Everything else is tried again after delays that double from some
4 seconds to 12 hours, each a little off so that an outage does not end in a stampede, until three
days have passed. An endpoint that asks for time (429 or 503 with Retry-After) gets it, and that
does not count as a try.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

DELAY_FIRST_S = 4.0
DELAY_MAX_S = 12 * 3_600.0
JITTER = 0.2  # 3.2 to 4.8 seconds first: within five, with time to spare
GIVES_UP_AFTER = timedelta(hours=72)
DEFERRAL_S_MIN = 1.0
DEFERRAL_S_MAX = 3_600.0
FAILURES_BEFORE_SPARING = 8
FAILURES_OF_AN_OUTAGE = 3
PROBE_GAP_FIRST_S = 0.5
PROBE_GAP_MAX_S = 30.0
_ASKS_FOR_TIME = (429, 503)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request and what came of it."""

    at: datetime
    latency_ms: int
    status: int | None = None  # None: no answer
    error: str | None = None
    answer: str = ""  # the beginning of the answer's body
    retry_after: str | None = None

    @property
    def is_delivered(self) -> bool:
        """Redirects are not followed and count as failures."""
        return self.status is not None and 200 <= self.status <= 299  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Delivered:
    """The endpoint took it."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Nothing is tried any more, until somebody asks for a replay."""


@dataclass(frozen=True, slots=True)
class Again:
    """It will be tried again."""

    at: datetime
    is_deferral: bool = False  # the endpoint asked for time, which nobody should disturb


Verdict = Delivered | GivenUp | Again


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an endpoint has answered lately."""

    failures: int = 0  # in a row
    failing_since: datetime | None = None

    @property
    def is_ailing(self) -> bool:
        """What has not been tried yet waits; single deliveries probe whether it is well again."""
        return self.failures >= FAILURES_BEFORE_SPARING

    @property
    def probe_gap_s(self) -> float:
        """Seconds between such probes."""
        doublings = min(self.failures - FAILURES_BEFORE_SPARING, 16)
        return min(PROBE_GAP_MAX_S, PROBE_GAP_FIRST_S * 2.0**doublings)

    @property
    def was_outage(self) -> bool:
        """Whether a success now means: everything that waits for its next try can go at once."""
        return self.failures >= FAILURES_OF_AN_OUTAGE

    def after(self, verdict: Verdict, attempt: Attempt) -> Health:
        """What this attempt says about the endpoint; asking for time says nothing."""
        if isinstance(verdict, Delivered):
            return Health() if self.failures else self
        if isinstance(verdict, Again) and verdict.is_deferral:
            return self
        return replace(
            self,
            failures=self.failures + 1,
            failing_since=self.failing_since or attempt.at,
        )


def judge(
    attempt: Attempt,
    *,
    tries_before: int,
    first_try_at: datetime | None,
    queued_at: datetime,
    failing_since: datetime | None,
    luck: float,
) -> Verdict:
    """Decide what becomes of a delivery after an attempt.

    Args:
        attempt: the attempt.
        tries_before: how many failed before it, deferrals not counted.
        first_try_at: when the first of them was made.
        queued_at: when the delivery began to wait.
        failing_since: since when the endpoint has taken nothing at all.
        luck: 0 up to 1, drawn at random.
    """
    if attempt.is_delivered:
        return Delivered()
    # Behind a dead endpoint deliveries queue up untried. Were each given three days of its own,
    # one after another, the queue would only ever grow.
    is_dead = failing_since is not None and attempt.at - failing_since >= GIVES_UP_AFTER
    deadline = (queued_at if is_dead else first_try_at or attempt.at) + GIVES_UP_AFTER
    if attempt.at >= deadline:
        return GivenUp()
    asked_s = deferral_s(attempt)
    delay_s = retry_delay_s(tries_before + 1, luck=luck) if asked_s is None else asked_s
    return Again(
        min(attempt.at + timedelta(seconds=delay_s), deadline), is_deferral=asked_s is not None
    )


def retry_delay_s(tries: int, *, luck: float) -> float:
    """Seconds to wait after so many failed tries (1 or more); ``luck`` is 0 up to 1."""
    doubled_s = DELAY_FIRST_S * 2.0 ** min(tries - 1, 32)
    return min(DELAY_MAX_S, doubled_s * (1 - JITTER + 2 * JITTER * luck))


def deferral_s(attempt: Attempt) -> float | None:
    """The time that the endpoint asked for, within bounds; None: it did not ask."""
    if attempt.status not in _ASKS_FOR_TIME or attempt.retry_after is None:
        return None
    text = attempt.retry_after.strip()
    if text.isascii() and text.isdigit():
        asked_s = float(text)
    else:
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return None
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        asked_s = (until - attempt.at).total_seconds()
    return min(DEFERRAL_S_MAX, max(DEFERRAL_S_MIN, asked_s))
