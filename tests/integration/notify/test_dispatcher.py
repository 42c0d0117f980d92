"""Dispatchers that crash, compete and forget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from services.notify.domain.retries import Attempt
from services.notify.slots import SLOTS, Slots
from services.notify.store import history
from services.runtime.database import Connection, Database, DatabaseUnavailable
from services.runtime.ownership import Fenced, Ownership
from tests.support.databases import BOTH
from tests.support.eventually import eventually
from tests.support.post import LEASE, Post
from tests.support.receiver import Receiver, broken, ok


class Severed:
    """A database that can still be read, but takes no more writes once it is cut off."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_cut = False
        self.read = database.read
        self.rehearse = database.rehearse
        self.listen = database.listen
        self.close = database.close

    @contextmanager
    def write(self, *, is_repeatable: bool = False) -> Iterator[Connection]:
        if self.is_cut:
            raise DatabaseUnavailable("cut off")
        with self._database.write(is_repeatable=is_repeatable) as connection:
            yield connection


def attempts(post: Post) -> list[Attempt]:
    found = post.notify.deliveries("grocer", "till", state=None, after=0, limit=100)
    return [attempt for each in found for attempt in each.attempts]


def test_sends_again_what_it_could_not_note_under_the_same_id(
    post: Post, receiver: Receiver
) -> None:
    severed = Severed(post.database)
    with post.projecting():
        post.put("till", receiver.url())
        with post.dispatching(owner="first", database=severed):
            post.record("7")
            eventually(lambda: attempts(post))
            severed.is_cut = True
            post.record("1130", "1130")
            eventually(lambda: len(receiver.got()) >= 2)
        before = receiver.positions(member="1130")
        post.ahead += LEASE  # the first one's leases run out: it could not give them back
        with post.dispatching(owner="second"):
            eventually(lambda: post.notify.lag("grocer", "till").backlog.events == 0)

    calls = [c for c in receiver.got() if c.member == "1130"]
    assert before[0] == 2
    assert [c.position for c in calls[len(before) :]] == [2, 3]
    assert len({c.id for c in calls}) == 2


def test_waits_for_a_database_that_is_away_and_notes_what_was_sent(
    post: Post, receiver: Receiver
) -> None:
    severed = Severed(post.database)
    with post.projecting(), post.dispatching(database=severed):
        post.put("till", receiver.url())
        post.record("7")
        eventually(lambda: attempts(post))
        severed.is_cut = True
        post.record("1130", "8")
        eventually(lambda: len(receiver.got()) == 3)
        severed.is_cut = False
        eventually(lambda: post.notify.lag("grocer", "till").backlog.events == 0)

    assert len(receiver.got()) == 3


def test_a_dispatcher_that_was_taken_over_notes_nothing_more(
    post: Post, receiver: Receiver
) -> None:
    receiver.hang("/")
    with post.projecting():
        post.put("till", receiver.url())
        with post.dispatching(owner="first", timeout=timedelta(seconds=60)):
            post.record("1130")
            eventually(lambda: len(receiver.got()) == 1)
            _take_every_slot(post, "second")
            receiver.answer("/", ok)
            eventually(lambda: not receiver.under_way["/"])
            post.record("1130")
            eventually(lambda: post.projector.lag() == 0)
    assert not attempts(post)
    post.ahead += 2 * LEASE
    with post.dispatching(owner="third"):
        eventually(lambda: post.notify.lag("grocer", "till").backlog.events == 0)

    assert receiver.positions() == [1, 1, 2]


def _take_every_slot(post: Post, owner: str) -> None:
    with post.database.write() as connection:
        connection.execute(
            "UPDATE owners SET epoch = epoch + 1, owner = :owner WHERE name LIKE :names",
            {"owner": owner, "names": "notify.dispatcher/slot/%"},
        )


@pytest.mark.parametrize("database", BOTH[1:], indirect=True)  # one process has but one
def test_two_dispatchers_share_the_endpoints_and_never_one_of_them(
    post: Post, receiver: Receiver
) -> None:
    with post.projecting(), post.dispatching(owner="first"):
        for number in range(SLOTS):
            post.put(f"till-{number}", receiver.url(f"/{number}"))
        post.record("1130")
        eventually(lambda: len(receiver.calls) == SLOTS)
        with post.dispatching(owner="second"):
            eventually(lambda: _slots_of(post) == {"first": SLOTS // 2, "second": SLOTS // 2})
            for _ in range(10):
                post.record("1130", "7")
            eventually(lambda: len(receiver.calls) == 21 * SLOTS)
        eventually(lambda: _slots_of(post) == {"first": SLOTS})
        post.record("1130")
        eventually(lambda: len(receiver.calls) == 22 * SLOTS)

    assert all(len(set(receiver.positions(f"/{n}"))) == 22 for n in range(SLOTS))


def _slots_of(post: Post) -> dict[str, int]:
    with post.database.read() as connection:
        return dict(
            connection.rows(
                "SELECT owner, count(*) FROM owners "
                "WHERE lease_until > 0 AND name LIKE :names GROUP BY owner",
                {"names": "notify.dispatcher/slot/%"},
            )
        )


def test_a_slot_with_something_under_way_is_not_given_away(post: Post, database: Database) -> None:
    first, second = (
        Slots(Ownership(database, post.clock, owner=owner, lease=LEASE), database)
        for owner in ("first", "second")
    )
    first.take_share(lambda _: True)
    second.take_share(lambda _: True)
    first.take_share(lambda slot: slot != SLOTS - 1)
    second.take_share(lambda _: True)

    busy = SLOTS - 1
    assert first.is_held(busy)
    assert not first.is_open(busy)
    assert not second.is_held(busy)
    assert all(first.is_open(slot) != second.is_open(slot) for slot in range(busy))
    with pytest.raises(Fenced), database.write() as connection:
        second.confirm_in(connection, [busy])
    first.give_all_back()
    second.take_share(lambda _: True)
    assert all(second.is_open(slot) for slot in range(SLOTS))


def test_what_is_old_is_forgotten_and_not_missed(post: Post, receiver: Receiver) -> None:
    receiver.answer("/", broken)
    with post.open():
        post.put("till", receiver.url())
        post.record("1130", recorded_at=post.clock() - timedelta(days=31))
        eventually(lambda: len(attempts(post)) == 1)
        receiver.answer("/", ok)
        post.ahead += timedelta(seconds=6)
        eventually(lambda: len(attempts(post)) == 2)
        post.record(*["7"] * 1_200)
        eventually(lambda: len(receiver.got()) == 1_202)
        eventually(lambda: post.notify.lag("grocer", "till").backlog.events == 0)
    post.ahead += timedelta(days=29)
    assert _prune(post) == 0
    post.ahead += timedelta(days=2)
    assert _prune(post) > 0

    kept = post.notify.deliveries("grocer", "till", state=None, after=0, limit=1_000)
    assert kept[0].position > 1
    assert all(each.attempts for each in kept)


def _prune(post: Post) -> int:
    rows = 0
    while more := history.prune(post.database, now=post.clock(), keep=timedelta(days=30)):
        rows += more
    return rows


def test_of_a_removed_endpoint_nothing_is_left_but_its_number(
    post: Post, receiver: Receiver
) -> None:
    receiver.hang("/")
    with post.projecting():
        post.put("till", receiver.url(), after=0)
        post.record(*(str(n) for n in range(1_500)))
        eventually(lambda: post.notify.lag("grocer", "till").backlog.events == 1_500)
    post.notify.remove_endpoint("grocer", "till")
    post.ahead += timedelta(minutes=2)
    _prune(post)

    with post.database.read() as connection:
        for table in ("deliveries", "lines", "attempts", "joins", "replays", "replay_parts"):
            assert connection.rows(f"SELECT count(*) FROM {table}") == [(0,)]
        [(number, url, secret)] = connection.rows("SELECT number, url, secret FROM endpoints")
    assert (url, secret) == ("", "")
    post.put("till", receiver.url())
    with post.database.read() as connection:
        assert connection.rows("SELECT max(number) FROM endpoints") == [(number + 1,)]
