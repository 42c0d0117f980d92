"""A standby takes over from a writer that is killed or stands still, and is not disturbed by it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.ledger.verify import verify
from tests.support.eventually import eventually
from tests.support.stack import Stack
from tests.support.takeover import LEADER, STANDBY, Pair, writers_under_load

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]
KILL_S_MAX = 5.0
STOP_S_MAX = 15.0


@contextmanager
def nothing_lost_or_doubled(stack: Stack) -> Iterator[Pair]:
    """In the end every purchase that was produced stands in the log once."""
    with writers_under_load(stack) as pair:
        yield pair
        pair.stop_load()
        eventually(lambda: pair.position() >= pair.produced)
        with pair.database.read() as connection:
            [(count,)] = connection.rows("SELECT count(*) FROM events")
        assert count == pair.position() == pair.produced
        assert verify(pair.database, progress=lambda *_: None).ok


def test_takes_over_from_a_killed_writer(stack: Stack) -> None:
    with nothing_lost_or_doubled(stack) as pair:
        pair.servers[LEADER].kill()
        took_s = pair.takeover_s()

        assert pair.owner()[0] == STANDBY
        assert took_s < KILL_S_MAX


@pytest.mark.parametrize("in_transaction", [True, False])
def test_takes_over_from_a_frozen_writer_which_then_writes_nothing(
    stack: Stack, *, in_transaction: bool
) -> None:
    with nothing_lost_or_doubled(stack) as pair:
        pair.freeze_leader(in_transaction=in_transaction)
        took_s = pair.takeover_s()
        owner = pair.owner()
        pair.servers[LEADER].thaw()
        eventually(lambda: has_noticed(pair))

        assert owner[0] == STANDBY
        assert took_s < STOP_S_MAX
        assert pair.owner() == owner


def has_noticed(pair: Pair) -> bool:
    """The frozen one: fenced by the epoch, or cut off in its transaction, it says so."""
    words = pair.servers[LEADER].last_words()
    return "another writer took over" in words or '"unavailable"' in words
