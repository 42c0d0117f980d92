"""Sending again, and beginning in the past: the same events, ids and bytes, in order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from services.notify.application import UNFINISHED_REPLAYS_MAX
from services.notify.domain.endpoints import Ordering
from services.notify.domain.errors import NotReady, TooManyReplays, UnknownEndpoint
from services.notify.store.replays import Asked, Scope
from tests.support.eventually import eventually
from tests.support.post import Post
from tests.support.receiver import Receiver, broken, ok

MEMBERS = [str(n) for n in range(12)]


def is_done(post: Post, endpoint_id: str = "till") -> bool:
    found = post.notify.replays("grocer", endpoint_id)
    return all(each.state == "done" for each in found) and not waiting(post, endpoint_id)


def waiting(post: Post, endpoint_id: str = "till") -> int:
    return post.notify.lag("grocer", endpoint_id).backlog.events


def by_member(receiver: Receiver, path: str = "/") -> dict[str | None, list[int]]:
    found: dict[str | None, list[int]] = {}
    for call in receiver.got(path):
        found.setdefault(call.member, []).append(call.position)
    return found


def in_order(positions: Iterable[list[int]]) -> bool:
    return all(each == sorted(each) for each in positions)


def test_sends_everything_again_with_the_same_ids_bytes_and_order(
    post: Post, receiver: Receiver
) -> None:
    with post.open():
        secret = post.put("till", receiver.url())
        post.record(*MEMBERS * 5)
        eventually(lambda: len(receiver.got()) == 60)
        first = list(receiver.calls)
        receiver.calls.clear()
        replay = post.notify.replay("grocer", "till", Asked())
        eventually(lambda: len(receiver.got()) == 60 and is_done(post))

    assert {(c.id, c.body) for c in receiver.got()} == {(c.id, c.body) for c in first}
    assert in_order(by_member(receiver).values())
    assert all(c.is_signed_with(secret) for c in receiver.got())
    assert (replay.number, replay.state) == (1, "running")
    [done] = post.notify.replays("grocer", "till")
    assert (done.state, done.queued) == ("done", 60)
    assert done.records_read == done.records_to_read
    deliveries = post.notify.deliveries("grocer", "till", state="delivered", after=0, limit=100)
    assert [len(each.attempts) for each in deliveries] == [2] * 60


def test_begins_after_a_position_and_keeps_to_the_types_asked_for(
    post: Post, receiver: Receiver
) -> None:
    with post.open():
        post.put("till", receiver.url())
        post.record(*MEMBERS)
        post.record(*MEMBERS, name="purchase.recorded")
        post.record(*MEMBERS)
        eventually(lambda: len(receiver.got()) == 36)
        receiver.calls.clear()
        post.notify.replay("grocer", "till", Asked(after=5, types=("points.*",)))
        eventually(lambda: is_done(post))

    assert sorted(receiver.positions()) == [*range(6, 13), *range(25, 37)]


def test_begins_at_a_time(post: Post, receiver: Receiver) -> None:
    with post.open():
        post.put("till", receiver.url())
        long_ago = post.clock() - timedelta(days=3)
        post.record(*MEMBERS, recorded_at=long_ago)
        post.record(*MEMBERS, recorded_at=long_ago + timedelta(days=1))
        eventually(lambda: len(receiver.got()) == 24)
        receiver.calls.clear()
        since = long_ago + timedelta(days=1)
        post.notify.replay("grocer", "till", Asked(since=since))
        eventually(lambda: is_done(post))

    assert sorted(receiver.positions()) == [*range(13, 25)]


def test_sends_only_what_was_given_up(post: Post, receiver: Receiver) -> None:
    receiver.answer("/", lambda c: web.Response(status=400 if c.position % 3 == 0 else 204))
    with post.open():
        post.put("till", receiver.url())
        post.record(*MEMBERS)
        eventually(lambda: waiting(post) == 4)
        post.ahead += timedelta(days=3, minutes=1)
        eventually(lambda: waiting(post) == 0)
        given_up = post.notify.deliveries("grocer", "till", state="failed", after=0, limit=10)
        receiver.answer("/", ok)
        receiver.calls.clear()
        post.notify.replay("grocer", "till", Asked(scope=Scope.FAILED))
        eventually(lambda: is_done(post))

    assert [each.position for each in given_up] == [3, 6, 9, 12]
    assert sorted(receiver.positions()) == [3, 6, 9, 12]
    assert not post.notify.deliveries("grocer", "till", state="failed", after=0, limit=10)


def test_tries_at_once_what_still_fails(post: Post, receiver: Receiver) -> None:
    receiver.answer("/", broken)
    with post.open():
        post.put("till", receiver.url())
        post.record("1130")
        eventually(lambda: post.notify.lag("grocer", "till").failing_since)
        receiver.answer("/", ok)
        post.notify.replay("grocer", "till", Asked(scope=Scope.FAILED))
        eventually(lambda: is_done(post))

    assert len(receiver.got()) == 2


def test_sends_only_what_was_never_queued(post: Post, receiver: Receiver) -> None:
    with post.open():
        post.put("till", receiver.url(), "purchase.*")
        post.record(*MEMBERS)
        post.record(*MEMBERS, name="purchase.recorded")
        eventually(lambda: len(receiver.got()) == 12)
        post.put("till", receiver.url(), "*")
        receiver.calls.clear()
        post.notify.replay("grocer", "till", Asked(scope=Scope.MISSING))
        eventually(lambda: is_done(post))

    assert sorted(receiver.positions()) == [*range(1, 13)]


def test_a_new_endpoint_may_begin_in_the_past(post: Post, receiver: Receiver) -> None:
    with post.open():
        post.record(*MEMBERS * 3)
        eventually(lambda: post.projector.lag() == 0)
        post.put("start", receiver.url("/start"), after=0)
        post.put("later", receiver.url("/later"), after=30, ordering=Ordering.NONE)
        post.record(*MEMBERS)
        eventually(lambda: is_done(post, "start") and is_done(post, "later"))
        eventually(lambda: len(receiver.calls) == 48 + 18)

    assert sorted(receiver.positions("/start")) == [*range(1, 49)]
    assert sorted(receiver.positions("/later")) == [*range(31, 49)]
    assert in_order(by_member(receiver, "/start").values())


def test_the_past_hands_over_to_live_without_gap_repeat_or_reorder(
    post: Post, receiver: Receiver
) -> None:
    with post.open():
        for _ in range(20):
            post.record(*MEMBERS * 4)
        for round_ in range(30):  # The log goes on growing all the while.
            if round_ == 3:
                post.put("till", receiver.url(), after=0)
            post.record(*MEMBERS)
        eventually(lambda: is_done(post) and post.projector.lag() == 0)
        eventually(lambda: len(receiver.got()) >= 1_320)
        eventually(lambda: waiting(post) == 0)

    assert len(receiver.got()) == 1_320
    assert sorted(receiver.positions()) == [*range(1, 1_321)]
    assert in_order(by_member(receiver).values())


def test_a_beginning_survives_that_its_replayer_stops_midway(
    post: Post, receiver: Receiver
) -> None:
    with post.projecting():
        for _ in range(15):
            post.record(*MEMBERS * 10)
        eventually(lambda: post.projector.lag() == 0)
    post.put("till", receiver.url(), after=0)
    with post.projecting():
        eventually(lambda: waiting(post) > 0)
    post.record(*MEMBERS)
    with post.open():
        eventually(lambda: is_done(post) and len(receiver.got()) >= 1_812)

    assert sorted(receiver.positions()) == [*range(1, 1_813)]
    assert in_order(by_member(receiver).values())


def test_what_just_happened_does_not_wait_behind_a_long_replay(
    post: Post, receiver: Receiver
) -> None:
    with post.open():
        post.put("till", receiver.url())
        for _ in range(5):
            post.record(*(str(n) for n in range(300)))
        eventually(lambda: len(receiver.got()) == 1_500)
        receiver.hang("/")
        post.notify.replay("grocer", "till", Asked())
        eventually(lambda: waiting(post) == 1_500)
        receiver.calls.clear()
        receiver.answer("/", ok)
        post.record("somebody-else")
        eventually(lambda: 1_501 in receiver.positions())
        assert len(receiver.got()) < 1_000
        eventually(lambda: is_done(post))


def test_a_replay_does_not_read_what_lies_far_before_it(post: Post, receiver: Receiver) -> None:
    with post.open():
        post.put("till", receiver.url(), "programme.*")
        for _ in range(40):
            post.record(*["1130"] * 100)
        eventually(lambda: post.projector.lag() == 0)
        post.notify.replay("grocer", "till", Asked(after=3_990))
        eventually(lambda: is_done(post))

    [replay] = post.notify.replays("grocer", "till")
    assert replay.records_read < 2_000


def test_a_damaged_record_stops_no_replay(post: Post, receiver: Receiver) -> None:
    with post.open():
        post.put("till", receiver.url())
        [event] = post.record("1130")
        post.record_raw("1130", b"no event at all")
        post.again({**event, "id": "no uuid", "position": 2})
        post.record("7", "1130")
        eventually(lambda: len(receiver.got()) == 3)
        receiver.calls.clear()
        post.notify.replay("grocer", "till", Asked())
        eventually(lambda: is_done(post))

    assert sorted(receiver.positions()) == [1, 2, 3]


def test_what_the_topic_has_forgotten_is_not_waited_for(
    post: Post, receiver: Receiver, tmp_path: Path
) -> None:
    with post.projecting():
        post.put("till", receiver.url(), "programme.*")
        post.record(*MEMBERS)
        eventually(lambda: post.projector.lag() == 0)
    with closing(sqlite3.connect(tmp_path / "stream.db")) as topic:
        topic.execute("DELETE FROM messages WHERE topic = 'ledger'")
        topic.commit()
    post.notify.replay("grocer", "till", Asked())
    post.put("start", receiver.url(), after=0)
    with post.open():
        eventually(lambda: is_done(post, "till") and is_done(post, "start"))
        post.record("1130")
        eventually(receiver.got)

    assert receiver.positions() == [13]


def test_replays_of_a_removed_endpoint_end(post: Post, receiver: Receiver) -> None:
    post.put("till", receiver.url(), after=0)
    post.notify.replay("grocer", "till", Asked())
    post.notify.remove_endpoint("grocer", "till")
    with post.projecting():
        eventually(lambda: running_replays(post) == 0)


def running_replays(post: Post) -> int:
    with post.database.read() as connection:
        [(count,)] = connection.rows("SELECT count(*) FROM replays WHERE state = 'running'")
    return int(count)


def test_refuses_too_many_replays_at_once(post: Post, receiver: Receiver) -> None:
    post.put("till", receiver.url())
    for _ in range(UNFINISHED_REPLAYS_MAX):
        post.notify.replay("grocer", "till", Asked())

    with pytest.raises(TooManyReplays):
        post.notify.replay("grocer", "till", Asked())


def test_knows_only_its_owners_endpoints(post: Post, receiver: Receiver) -> None:
    post.put("till", receiver.url())

    with pytest.raises(UnknownEndpoint):
        post.notify.replay("baker", "till", Asked())


def test_refuses_endpoints_until_it_knows_the_log(post: Post, receiver: Receiver) -> None:
    with post.database.write() as connection:
        connection.execute("DELETE FROM feed")

    with pytest.raises(NotReady):
        post.put("till", receiver.url())
