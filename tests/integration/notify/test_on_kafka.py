"""The roles that read the log, on a real Kafka and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from secrets import token_hex

import pytest

from services.notify.store.replays import Asked
from services.runtime.database import Database
from tests.support.databases import BOTH
from tests.support.eventually import eventually
from tests.support.post import Post
from tests.support.receiver import Receiver

MEMBERS = [str(n) for n in range(12)]
pytestmark = pytest.mark.parametrize("database", BOTH[1:], indirect=True)


@pytest.fixture
def post(database: Database, tmp_path: Path, kafka_url: str) -> Iterator[Post]:
    url = f"{kafka_url}?replication=1&prefix=notify-{token_hex(4)}-"
    with closing(Post(database, tmp_path, stream_url=url)) as post:
        yield post


def test_past_present_and_replay_come_whole_and_in_order(post: Post, receiver: Receiver) -> None:
    with post.open():
        for _ in range(5):
            post.record(*MEMBERS * 10)
        post.put("till", receiver.url(), after=0)
        for _ in range(20):
            post.record(*MEMBERS)
        eventually(lambda: len(receiver.got()) >= 840)
        eventually(lambda: post.notify.lag("grocer", "till").backlog.events == 0)
        first = list(receiver.calls)
        receiver.calls.clear()
        post.notify.replay("grocer", "till", Asked(after=100))
        eventually(lambda: len(receiver.got()) >= 740)
        eventually(lambda: post.notify.replays("grocer", "till")[-1].state == "done")

    assert sorted(c.position for c in first) == [*range(1, 841)]
    assert sorted(receiver.positions()) == [*range(101, 841)]
    for calls in (first, receiver.got()):
        for member in MEMBERS:
            positions = [c.position for c in calls if c.member == member]
            assert positions == sorted(positions)


def test_a_topic_that_is_read_to_its_end_is_known_as_such(post: Post, receiver: Receiver) -> None:
    with post.open():
        post.record("1130")
        eventually(lambda: post.projector.lag() == 0)
        post.put("till", receiver.url(), "programme.*")
        post.notify.replay("grocer", "till", Asked())
        post.put("start", receiver.url(), after=1)
        eventually(
            lambda: all(
                each.state == "done"
                for name in ("till", "start")
                for each in post.notify.replays("grocer", name)
            )
        )
        post.record("1130")
        eventually(receiver.got)

    assert receiver.positions() == [2]
