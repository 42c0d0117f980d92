"""The projector: each event once, whoever folds it, and whatever lies between the good ones."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from services.runtime.clock import utc_now
from services.runtime.database import Connection, Database
from services.runtime.footing import Footing
from services.runtime.ownership import Ownership
from services.runtime.projection import Event, Projector
from services.runtime.stream import Message, Stream, open_stream
from tests.support.eventually import eventually

MENDED: set[int] = set()  # positions of events that the fold has learned to fold
VIEW = "INSERT INTO positions VALUES ('view', :position, 1, 0)"


def message(position: int, *, key: str = "1130", data: object = None) -> Message:
    event = {
        "specversion": "1.0",
        "id": str(position),
        "source": "/ledger",
        "type": "stampbook.points.earned.v1",
        "time": "2026-05-01T12:00:00Z",
        "position": position,
        "recordedat": "2026-05-01T12:00:00Z",
        "data": data or {},
    }
    return Message(key, msgspec.json.encode(event))


@pytest.fixture(autouse=True)
def _nothing_is_mended() -> None:
    MENDED.clear()


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    stream = open_stream(f"sqlite:///{tmp_path / 'stream.db'}", partitions=4)
    stream.ensure_topics()
    return stream


def projector(database: Database, stream: Stream, *, owner: str = "one") -> Projector:
    def fold(connection: Connection, events: Sequence[Event]) -> None:
        for event in events:
            if b'"bad"' in bytes(event.envelope.data) and event.envelope.position not in MENDED:
                raise ZeroDivisionError
            connection.execute(VIEW, {"position": event.envelope.position})

    ownership = Ownership(database, utc_now, owner=owner, lease=timedelta(seconds=5))
    footing = Footing(database=database, stream=stream, ownership=ownership, clock=utc_now)
    return Projector(name="view-of-test", topic="ledger", footing=footing, fold=fold)


def folded(database: Database) -> list[int]:
    with database.read() as connection:
        found = connection.rows("SELECT partition FROM positions WHERE name = 'view'")
    return sorted(position for (position,) in found)


def run_until(projectors: list[Projector], is_so: object) -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=each.run, args=(stop,)) for each in projectors]
    for thread in threads:
        thread.start()
    try:
        assert callable(is_so)
        eventually(is_so)
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=10)


def append(stream: Stream, *messages: Message) -> None:
    with closing(stream.producer()) as producer:
        producer.append("ledger", messages)


def test_an_event_that_the_relay_published_twice_is_folded_once(
    database: Database, stream: Stream
) -> None:
    append(stream, message(1), message(2), message(1), message(2), message(3))

    run_until([projector(database, stream)], lambda: folded(database) == [1, 2, 3])

    assert projector(database, stream).lag() == 0


def test_goes_on_where_it_stopped(database: Database, stream: Stream) -> None:
    append(stream, message(1))
    run_until([projector(database, stream)], lambda: folded(database) == [1])
    append(stream, message(2))

    run_until([projector(database, stream)], lambda: folded(database) == [1, 2])


def test_what_is_no_event_is_parked_and_stops_nobody(database: Database, stream: Stream) -> None:
    rubbish = Message("1130", b"\xff not an event")
    append(stream, message(1), rubbish, message(2))

    run_until([projector(database, stream)], lambda: folded(database) == [1, 2])

    with database.read() as connection:
        [(value,)] = connection.rows("SELECT value FROM dead_letters")
    assert bytes(value) == rubbish.value


def test_an_event_that_cannot_be_folded_stops_its_partition_and_is_not_lost(
    database: Database, stream: Stream
) -> None:
    bad = message(2, data={"bad": 1})
    append(stream, message(1), bad, message(3), message(4, key="another partition"))
    stumbling = projector(database, stream)

    run_until([stumbling], lambda: folded(database) == [1, 4])
    with pytest.raises(RuntimeError, match="cannot fold"):
        stumbling.lag()
    MENDED.add(2)
    run_until([projector(database, stream)], lambda: folded(database) == [1, 2, 3, 4])


def test_two_instances_share_the_partitions_and_fold_each_event_once(
    database: Database, stream: Stream
) -> None:
    one, two = projector(database, stream), projector(database, stream, owner="two")

    def both_hold_some() -> bool:
        with database.read() as connection:
            found = connection.rows(
                "SELECT owner, count(*) FROM owners WHERE name LIKE 'view-of-test/_' "
                "AND lease_until > 0 GROUP BY owner"
            )
        return dict(found) == {"one": 2, "two": 2}

    def work() -> bool:
        if both_hold_some() and not folded(database):
            append(stream, *(message(n, key=str(n)) for n in range(1, 41)))
        return folded(database) == list(range(1, 41))

    run_until([one, two], work)
