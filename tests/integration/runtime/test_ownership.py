"""Leases and epochs: who stalls may wake up late, but cannot write any more."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from services.runtime.database import Database, DatabaseUnavailable, open_database
from services.runtime.migrations import migrate
from services.runtime.ownership import Fenced, Ownership, Place, Term, load_places, save_places
from tests.support.eventually import eventually

LEASE = timedelta(seconds=10)


class Hands:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def one(database: Database, hands: Hands) -> Ownership:
    return Ownership(database, hands, owner="one", lease=LEASE)


@pytest.fixture
def two(database: Database, hands: Hands) -> Ownership:
    return Ownership(database, hands, owner="two", lease=LEASE)


def test_a_lease_keeps_others_out_until_it_ends(
    one: Ownership, two: Ownership, hands: Hands
) -> None:
    term = one.acquire("writer")
    while_it_runs = two.acquire("writer")
    hands.now += LEASE
    at_its_end = two.acquire("writer")

    assert term is not None
    assert while_it_runs is None
    assert at_its_end is not None
    assert at_its_end.epoch > term.epoch


def test_who_was_taken_over_cannot_commit(
    database: Database, one: Ownership, two: Ownership, hands: Hands
) -> None:
    stalled = one.acquire("writer")
    hands.now += LEASE
    two.acquire("writer")

    assert stalled is not None
    with pytest.raises(Fenced), database.write() as connection:
        save_places(connection, "writer", {0: Place(99)})
        one.confirm(connection, stalled)
    with database.read() as connection:
        assert load_places(connection, "writer") == {}


@pytest.mark.postgres
def test_who_stands_still_inside_a_transaction_is_cut_off(
    fresh_postgres: str, hands: Hands
) -> None:
    with closing(open_database(fresh_postgres)) as database:
        migrate(database, "services.ledger")
        one = Ownership(database, hands, owner="one", lease=LEASE)
        two = Ownership(database, hands, owner="two", lease=LEASE)
        term = one.acquire("writer")
        assert term is not None

        with pytest.raises(DatabaseUnavailable), database.write() as connection:
            one.confirm(connection, term)
            save_places(connection, "writer", {0: Place(99)})
            hands.now += LEASE
            while_it_may_be_slow = two.acquire("writer")
            hands.now += 2 * LEASE
            next_term = Term("writer", term.epoch + 1)
            eventually(lambda: two.acquire("writer") == next_term)

        assert while_it_may_be_slow is None
        with database.read() as connection:
            assert load_places(connection, "writer") == {}


def test_renewing_keeps_it(one: Ownership, two: Ownership, hands: Hands) -> None:
    term = one.acquire("writer")
    assert term is not None
    hands.now += LEASE / 2
    one.renew(term)
    hands.now += LEASE / 2 + timedelta(seconds=1)

    assert two.acquire("writer") is None


def test_giving_it_back_lets_the_next_one_in_at_once(one: Ownership, two: Ownership) -> None:
    term = one.acquire("writer")
    assert term is not None
    one.release(term)

    assert two.acquire("writer") is not None


def test_the_same_instance_comes_back_without_waiting_and_fences_its_former_self(
    one: Ownership,
) -> None:
    before = one.acquire("writer")
    again = one.acquire("writer")

    assert before is not None
    assert again is not None
    with pytest.raises(Fenced):
        one.renew(before)
    one.renew(again)


def test_counts_the_owners_that_are_alive(one: Ownership, two: Ownership, hands: Hands) -> None:
    one.acquire("view/0")
    hands.now += LEASE / 2
    two.acquire("view/1")
    both = two.owners_alive("view/")
    hands.now += LEASE / 2

    assert both == {"one", "two"}
    assert two.owners_alive("view/") == {"two"}
    assert two.owners_alive("other/") == set()


def test_places_are_kept_by_partition(database: Database) -> None:
    with database.write() as connection:
        save_places(connection, "view", {0: Place(5, 40), 3: Place(1, 2)})
    with database.write() as connection:
        save_places(connection, "view", {3: Place(9, 50)})

    with database.read() as connection:
        assert load_places(connection, "view") == {0: Place(5, 40), 3: Place(9, 50)}
        assert load_places(connection, "other") == {}
