"""When a delivery is tried again, and when nobody tries any more."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain.retries import (
    DEFERRAL_S_MAX,
    DELAY_MAX_S,
    FAILURES_BEFORE_SPARING,
    FAILURES_OF_AN_OUTAGE,
    GIVES_UP_AFTER,
    PROBE_GAP_FIRST_S,
    PROBE_GAP_MAX_S,
    Again,
    Attempt,
    Delivered,
    GivenUp,
    Health,
    Verdict,
    deferral_s,
    judge,
    retry_delay_s,
)

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
LUCK = st.floats(0, 1, exclude_max=True)


def answered(status: int | None, *, at: datetime = NOW, retry_after: str | None = None) -> Attempt:
    return Attempt(at=at, latency_ms=3, status=status, retry_after=retry_after)


def judged(
    attempt: Attempt,
    *,
    tries_before: int = 0,
    first_try_at: datetime | None = None,
    queued_at: datetime = NOW,
    failing_since: datetime | None = None,
    luck: float = 0.5,
) -> Verdict:
    return judge(
        attempt,
        tries_before=tries_before,
        first_try_at=first_try_at,
        queued_at=queued_at,
        failing_since=failing_since,
        luck=luck,
    )


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_only_2xx_is_a_delivery(status: int) -> None:
    assert judged(answered(status)) == Delivered()


@pytest.mark.parametrize("status", [None, 100, 199, 300, 301, 302, 400, 404, 410, 429, 500, 503])
def test_everything_else_is_tried_again(status: int | None) -> None:
    assert isinstance(judged(answered(status)), Again)


@given(LUCK)
def test_the_first_retry_comes_within_five_seconds(luck: float) -> None:
    verdict = judged(answered(500), luck=luck)

    assert isinstance(verdict, Again)
    assert timedelta(seconds=3) < verdict.at - NOW < timedelta(seconds=5)


@given(tries=st.integers(1, 10_000), lucks=st.tuples(LUCK, LUCK))
def test_delays_grow_up_to_half_a_day(tries: int, lucks: tuple[float, float]) -> None:
    delay_s = retry_delay_s(tries, luck=lucks[0])
    next_delay_s = retry_delay_s(tries + 1, luck=lucks[1])

    assert delay_s <= DELAY_MAX_S
    assert next_delay_s > delay_s or next_delay_s >= 0.8 * DELAY_MAX_S


def test_delays_are_not_the_same_for_everybody() -> None:
    delays_s = {retry_delay_s(1, luck=luck / 10) for luck in range(10)}

    assert len(delays_s) == 10


@given(lucks=st.lists(LUCK, min_size=60, max_size=60))
def test_tries_for_three_days_and_then_gives_up(lucks: list[float]) -> None:
    tried_at = [NOW]
    for tries, luck in enumerate(lucks):
        attempt = answered(500, at=tried_at[-1])
        verdict = judged(attempt, tries_before=tries, first_try_at=NOW, luck=luck)
        if isinstance(verdict, Again):
            tried_at.append(verdict.at)
        else:
            assert verdict == GivenUp()
            break

    assert tried_at[-1] - NOW == GIVES_UP_AFTER
    assert 15 <= len(tried_at) <= 25


def test_a_delivery_that_waited_long_has_its_three_days_all_the_same() -> None:
    verdict = judged(answered(500), queued_at=NOW - timedelta(days=30))

    assert isinstance(verdict, Again)


def test_behind_a_dead_endpoint_one_try_is_enough_for_what_waited_three_days() -> None:
    dead_since = NOW - GIVES_UP_AFTER
    waited = judged(answered(500), queued_at=NOW - GIVES_UP_AFTER, failing_since=dead_since)
    young = judged(answered(500), queued_at=NOW - timedelta(days=1), failing_since=dead_since)

    assert waited == GivenUp()
    assert isinstance(young, Again)


@pytest.mark.parametrize("status", [429, 503])
def test_an_endpoint_that_asks_for_time_gets_it(status: int) -> None:
    verdict = judged(answered(status, retry_after="120"), tries_before=7)

    assert verdict == Again(NOW + timedelta(seconds=120), is_deferral=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 1),
        ("30", 30),
        (" 30 ", 30),
        ("99999999999999999999", DEFERRAL_S_MAX),
        ("9" * 400, DEFERRAL_S_MAX),
        (format_datetime(NOW + timedelta(minutes=5), usegmt=True), 300),
        (format_datetime(NOW - timedelta(minutes=5), usegmt=True), 1),
        ("Sun, 22 Nov 2026 08:05:00 -0000", 300),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
    ],
)
def test_retry_after_is_read_within_bounds(text: str, seconds: float | None) -> None:
    assert deferral_s(answered(429, retry_after=text)) == seconds


def test_asking_for_time_counts_only_where_it_means_something() -> None:
    assert deferral_s(answered(429)) is None
    assert deferral_s(answered(500, retry_after="120")) is None
    assert deferral_s(answered(None, retry_after="120")) is None


def test_asking_for_time_does_not_go_on_for_ever() -> None:
    at = NOW + GIVES_UP_AFTER

    assert judged(answered(429, at=at, retry_after="60"), first_try_at=NOW) == GivenUp()


def test_health_counts_failures_and_forgets_them_at_the_first_success() -> None:
    failed, again = answered(500), Again(NOW)

    ailing = Health()
    for _ in range(FAILURES_BEFORE_SPARING):
        assert not ailing.is_ailing
        ailing = ailing.after(again, failed)

    assert ailing == Health(failures=FAILURES_BEFORE_SPARING, failing_since=NOW)
    assert ailing.is_ailing
    assert ailing.after(GivenUp(), failed).failures == FAILURES_BEFORE_SPARING + 1
    assert ailing.after(Again(NOW, is_deferral=True), answered(429)) is ailing
    assert ailing.after(Delivered(), answered(200)) == Health()
    well = Health()
    assert well.after(Delivered(), answered(200)) is well


def test_a_single_failure_is_no_outage() -> None:
    assert not Health(failures=FAILURES_OF_AN_OUTAGE - 1, failing_since=NOW).was_outage
    assert Health(failures=FAILURES_OF_AN_OUTAGE, failing_since=NOW).was_outage


def test_probes_become_rarer_up_to_a_bound() -> None:
    gaps_s = [
        Health(failures=failures, failing_since=NOW).probe_gap_s
        for failures in range(FAILURES_BEFORE_SPARING, 1_000)
    ]

    assert gaps_s[0] == PROBE_GAP_FIRST_S
    assert gaps_s == sorted(gaps_s)
    assert gaps_s[-1] == PROBE_GAP_MAX_S
