"""Views built again from the log are what the writer keeps, and say where it is not so."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from services.ledger.consumer import NAME as WRITER
from services.ledger.rebuild import VIEWS, Comparison, compare, compare_all, switch
from services.ledger.replay import TABLES, Inconsistent
from services.ledger.verify import verify
from services.runtime.clock import utc_now
from services.runtime.database import Database, Row
from services.runtime.ownership import Fenced
from tests.support.desk import Desk
from tests.support.eventually import eventually
from tests.support.story import STEPS, told


@pytest.fixture
def desk(database: Database) -> Desk:
    """Lots earned, spent, given back, taken back with a debt, repaid and ended; and returns."""
    desk = Desk(database)
    desk.send(desk.purchase("p-1"), desk.award(100), desk.redemption("s-1", 90))
    desk.send(desk.purchase("p-2"), desk.award(5, purchase="p-2"), desk.reversal("s-1", 20))
    desk.send(desk.return_("p-1/r-1", amount_minor=2_000), desk.return_("p-1/r-2", amount_minor=1))
    desk.send(desk.take_back(50), desk.purchase("p-3"), desk.award(40, purchase="p-3"))
    desk.send(desk.award(7, purchase="p-4", expires_at="2026-05-01T11:00:00Z"))
    return desk


def rebuilt(database: Database, view: str = "balances") -> Comparison:
    return compare(database, view, progress=lambda *_: None)


def everything(database: Database) -> dict[str, list[Row]]:
    with database.read() as connection:
        return {
            table.name: sorted(
                tuple(bytes(c) if isinstance(c, memoryview) else c for c in row)
                for row in connection.rows(f"SELECT * FROM {table.name}")
            )
            for table in TABLES
        }


def change(database: Database, sql: str) -> None:
    with database.write() as connection:
        assert connection.execute(sql)


@pytest.mark.parametrize(("view", "rows"), [("balances", 11), ("returns", 3), ("totals", 21)])
def test_what_the_writer_keeps_is_what_the_log_says(desk: Desk, view: str, rows: int) -> None:
    before = everything(desk.database)

    found = rebuilt(desk.database, view)

    assert (found.differences, found.rows) == (0, rows)
    assert found.events == len(desk.events())
    assert everything(desk.database) == before


def test_a_difference_is_named_with_member_and_position(desk: Desk) -> None:
    change(desk.database, "UPDATE lots SET points_left = 77 WHERE purchase = 'p-2'")

    found = rebuilt(desk.database)

    [difference] = found.shown
    assert found.differences == 1
    assert (difference.table, difference.member) == ("lots", "1130")
    assert (difference.kept, difference.rebuilt) == ("points_left 77", "points_left 0")
    assert difference.position == 9  # where the debt's taking back took what was left of it


@pytest.mark.parametrize(
    ("view", "damage"),
    [
        ("balances", "UPDATE lots SET member = 'evil' WHERE purchase = 'p-1'"),
        ("balances", "DELETE FROM lots WHERE purchase = 'p-1'"),
        ("balances", "DELETE FROM lot_entries"),
        ("balances", "UPDATE lot_entries SET points = points + 1"),
        ("balances", "INSERT INTO debts VALUES ('member/evil', 'points', 5)"),
        ("balances", "UPDATE debts SET points = 9"),
        ("returns", "DELETE FROM purchase_returns"),
        ("totals", "DELETE FROM movements WHERE grain = 1"),
        ("totals", "UPDATE movements SET points = 0 WHERE account = 'issued'"),
        ("totals", "UPDATE settlements SET issued = issued + 1"),
        ("returns", "UPDATE returned SET amount_minor = amount_minor - 1"),
    ],
)
def test_a_damaged_view_is_put_right(desk: Desk, view: str, damage: str) -> None:
    before = everything(desk.database)
    change(desk.database, damage)
    assert rebuilt(desk.database, view).differences

    found = switch(desk.database, view, now=utc_now(), progress=lambda *_: None)

    assert found.is_switched
    assert everything(desk.database) == before
    assert rebuilt(desk.database, view).differences == 0


def test_only_the_view_that_was_asked_for_is_put_right(desk: Desk) -> None:
    change(desk.database, "DELETE FROM purchase_returns")

    switch(desk.database, "balances", now=utc_now(), progress=lambda *_: None)

    assert everything(desk.database)["purchase_returns"] == []


def test_a_writer_that_remembers_the_old_view_commits_nothing_more(desk: Desk) -> None:
    term = desk.footing.ownership.acquire(WRITER)
    assert term is not None

    switch(desk.database, "balances", now=utc_now(), progress=lambda *_: None)

    with pytest.raises(Fenced):
        desk.footing.ownership.renew(term)


def test_what_is_recorded_meanwhile_does_no_harm(desk: Desk) -> None:
    def progress(_: int, __: int) -> None:
        desk.send(desk.purchase("p-8"), desk.award(8, purchase="p-8"), desk.redemption("s-8", 3))

    found = compare_all(desk.database, VIEWS, progress=progress)

    assert [one.differences for one in found] == [0] * len(VIEWS)
    assert found[0].events < len(desk.events())
    assert rebuilt(desk.database).differences == 0


def test_who_records_waits_for_the_switch(desk: Desk) -> None:
    count = len(desk.events())
    writing = threading.Thread(target=desk.send, args=(desk.purchase("p-8"),))
    seen: list[int] = []

    def progress(_: int, __: int) -> None:
        writing.start()
        writing.join(timeout=0.3)  # it ought not to end
        seen.append(len(desk.events()))

    change(desk.database, "UPDATE lots SET points_left = 1 WHERE purchase = 'p-2'")
    switch(desk.database, "balances", now=utc_now(), progress=progress)
    writing.join(timeout=30)

    assert seen == [count]
    eventually(lambda: len(desk.events()) == count + 1)
    assert rebuilt(desk.database).differences == 0


def test_a_log_that_contradicts_itself_is_not_followed(desk: Desk) -> None:
    with desk.database.read() as connection:
        [(event,)] = connection.rows("SELECT event FROM events WHERE position = 3")
    with desk.database.write() as connection:
        connection.execute(
            "UPDATE events SET event = :event WHERE position = 3",
            {"event": bytes(event).replace(b"90", b"99")},
        )

    with pytest.raises(Inconsistent) as error:
        rebuilt(desk.database)

    assert error.value.position >= 3


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_whatever_happens_is_rebuilt_as_it_is_kept(steps: list[tuple[Any, ...]]) -> None:
    with told(steps) as desk:
        found = compare_all(desk.database, VIEWS, progress=lambda *_: None)
        verdict = verify(desk.database, progress=lambda *_: None)

    assert [one.shown for one in found] == [[]] * len(VIEWS)
    assert verdict.ok


def test_every_view_is_made_of_tables_that_are_rebuilt() -> None:
    assert {table for tables in VIEWS.values() for table in tables} == {
        table.name for table in TABLES
    }
