"""The auditor's reading names the first bad position and the kind of fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.ledger.verify import Verdict, verify
from services.runtime.database import Database, open_database
from tests.support.desk import Desk


@pytest.fixture
def desk(database: Database) -> Desk:
    """Six events: 1 and 4 purchases, 2 and 5 earned, 3 redeemed, 6 taken back with a debt."""
    desk = Desk(database)
    desk.send(desk.purchase("p-1"), desk.award(100), desk.redemption("s-1", 90))
    desk.send(desk.purchase("p-2"), desk.award(5, purchase="p-2"), desk.take_back(50))
    return desk


def verdict(database: Database) -> Verdict:
    return verify(database, progress=lambda *_: None)


def change(database: Database, sql: str, **params: object) -> None:
    with database.write() as connection:
        assert connection.execute(sql, params) == 1


def test_a_sound_ledger_passes(desk: Desk) -> None:
    assert verdict(desk.database) == Verdict(ok=True, events=6)


@pytest.mark.parametrize("position", range(1, 7))
def test_one_changed_byte_is_found_where_it_is(desk: Desk, position: int) -> None:
    with desk.database.read() as connection:
        [(event,)] = connection.rows(
            "SELECT event FROM events WHERE position = :at", {"at": position}
        )
    damaged = bytearray(event)
    damaged[len(damaged) // 2] ^= 1
    change(
        desk.database,
        "UPDATE events SET event = :event WHERE position = :at",
        event=bytes(damaged),
        at=position,
    )

    found = verdict(desk.database)

    assert (found.ok, found.position, found.fault) == (False, position, "hash")


@pytest.mark.parametrize(
    ("sql", "position", "fault"),
    [
        ("DELETE FROM events WHERE position = 3", 3, "gap"),
        ("DELETE FROM events WHERE position = 6", 6, "head"),
        ("UPDATE events SET version = 99 WHERE position = 4", 4, "place"),
        ("UPDATE events SET type = 'x' WHERE position = 2", 2, "place"),
        ("UPDATE lots SET points_left = 11 WHERE position = 2", 6, "balance"),
        ("DELETE FROM lots WHERE position = 5", 6, "balance"),
        ("UPDATE debts SET points = 0", 6, "balance"),
        ("UPDATE log_head SET position = 5", 7, "head"),
        ("UPDATE lots SET member = 'evil' WHERE position = 2", 6, "balance"),
        ("UPDATE lots SET expires_at = expires_at + 1 WHERE position = 2", 6, "balance"),
        ("UPDATE lots SET touched = 2 WHERE position = 2", 6, "balance"),
        ("UPDATE movements SET points = 7 WHERE grain = 2 AND account = 'owed'", 6, "totals"),
        ("UPDATE settlements SET redeemed = 7 WHERE minute = -1", 6, "totals"),
        ("DELETE FROM outcomes WHERE first_position = 3", 6, "outcomes"),
    ],
)
def test_tampering_is_found(desk: Desk, sql: str, position: int, fault: str) -> None:
    change(desk.database, sql)

    found = verdict(desk.database)

    assert (found.ok, found.fault) == (False, fault)
    assert found.position == position


def test_a_broken_file_is_a_finding_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "broken.db"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 8_000)

    found = verdict(open_database(f"sqlite:///{path}"))

    assert (found.ok, found.fault) == (False, "unreadable")
