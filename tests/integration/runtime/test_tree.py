"""The tree beside a log and its signed checkpoints, on both databases."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.runtime import tree
from services.runtime.checkpoints import (
    Checkpoint,
    Notary,
    newest_note,
    read_keys,
    signing_keys,
)
from services.runtime.database import Connection, Database
from services.runtime.eventlog import Entry, EventLog, Head, event_id_at
from services.runtime.merkle import consistency, inclusion
from services.runtime.notes import Malformed, Signer
from tests.support import rfc6962
from tests.support.databases import BOTH, fresh_url, migrated

ORIGIN = "log.example/ledger"
OLD, NEW = Signer(ORIGIN, bytes(32)), Signer(ORIGIN, bytes([1]) * 32)


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with migrated(fresh_url(request.param, request, tmp_path), "services.ledger") as database:
        yield database


def contents(count: int) -> list[bytes]:
    return [b'{"event":%d}' % number for number in range(1, count + 1)]


def entries(events: Sequence[bytes], after: int = 0) -> list[Entry]:
    return [
        Entry("story", position, "type", event_id_at(0, position), event)
        for position, event in enumerate(events, after + 1)
    ]


def append(log: EventLog, events: Sequence[bytes], head: Head | None = None) -> Head:
    with log.database.write() as connection:
        head = head or log.head(connection)
        return log.append(connection, head, entries(events, head.position))


def checkpoint(database: Database) -> Checkpoint:
    with database.read() as connection:
        note = newest_note(connection)
    assert note is not None
    return Checkpoint.parse(note.text)


def anybody(_: Connection) -> None:
    """Nobody else wants the log."""


def test_a_log_grows_its_tree_whoever_appends(database: Database) -> None:
    events = contents(600)
    log = EventLog(database)

    head = append(log, events[:300])  # one writer remembers the edge
    head = append(log, events[300:301], head)
    append(EventLog(database), events[301:])  # another one reads it

    with database.read() as connection:
        assert tree.size_of(connection) == 600
        assert tree.load_edge(connection, 600).root == rfc6962.tree_hash(events)
        nodes = tree.nodes(connection)
        assert nodes.hashes(inclusion(299, 555)) == rfc6962.path(299, events[:555])
        assert nodes.hashes(consistency(257, 600)) == rfc6962.proof(257, events)


def test_what_is_undone_leaves_no_leaf(database: Database) -> None:
    log = EventLog(database, Notary([OLD]))
    head = append(log, contents(3))

    with pytest.raises(ZeroDivisionError), database.write() as connection:
        log.append(connection, head, entries([b"never"], 3))
        raise ZeroDivisionError

    append(log, [b"fourth"], head)
    assert checkpoint(database).root == rfc6962.tree_hash([*contents(3), b"fourth"])


def test_each_append_signs_a_checkpoint(database: Database) -> None:
    log = EventLog(database, Notary([OLD]))

    append(log, contents(5))

    with database.read() as connection:
        note = newest_note(connection)
    assert note is not None
    assert OLD.verifier.has_signed(note)
    assert note.text.startswith(f"{ORIGIN}\n5\n")
    assert Checkpoint.parse(note.text) == Checkpoint(ORIGIN, 5, rfc6962.tree_hash(contents(5)))


def test_a_log_without_a_tree_gets_one_page_by_page(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "_PAGE_SIZE", 100)
    log = EventLog(database, Notary([OLD]))
    append(log, contents(450))
    with database.write() as connection:
        connection.execute("DELETE FROM tiles")
        connection.execute("DELETE FROM checkpoints")
    confirmed: list[Connection] = []

    log.tree.catch_up(database, confirmed.append)

    assert len(confirmed) == 6  # five pages, and the signature
    assert checkpoint(database) == Checkpoint(ORIGIN, 450, rfc6962.tree_hash(contents(450)))


def test_a_gap_in_the_log_stops_the_tree(database: Database) -> None:
    log = EventLog(database)
    append(log, contents(5))
    with database.write() as connection:
        connection.execute("DELETE FROM tiles")
        connection.execute("DELETE FROM events WHERE position = 3")

    with pytest.raises(AssertionError, match="gap"):
        log.tree.catch_up(database, anybody)


def test_an_empty_log_is_signed_too(database: Database) -> None:
    EventLog(database, Notary([OLD])).tree.catch_up(database, anybody)

    assert checkpoint(database) == Checkpoint(ORIGIN, 0, rfc6962.ROOTS[0])


def test_keys_come_and_go_and_stay_known(database: Database) -> None:
    for keys, event in (([OLD], b"1"), ([OLD, NEW], b"2"), ([NEW], b"3")):
        log = EventLog(database, Notary(keys))
        log.tree.catch_up(database, anybody)
        append(log, [event])

        with database.read() as connection:
            note = newest_note(connection)
        assert note is not None
        assert [key.verifier.has_signed(note) for key in (OLD, NEW)] == [
            key in keys for key in (OLD, NEW)
        ]

    with database.read() as connection:
        assert signing_keys(connection) == [(OLD.verifier, 0), (NEW.verifier, 1)]


def test_the_key_is_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "log.key"

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: str(read_keys(path, ORIGIN)[0]), range(8)))

    assert len(set(found)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["log.key"]


def test_several_keys_in_the_file_all_sign(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    path.write_text(f"{OLD}\n{NEW}\n")

    assert [str(key) for key in read_keys(path, ORIGIN)] == [str(OLD), str(NEW)]


@pytest.mark.parametrize("content", ["", "hello\n", f"{Signer('other.example', bytes(32))}\n"])
def test_a_file_without_a_key_of_this_log_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "log.key"
    path.write_text(content)

    with pytest.raises(Malformed):
        read_keys(path, ORIGIN)


@pytest.mark.parametrize(
    "text",
    ["", "log\n1\n", "log\n01\nAAAA\n", "log\n1\nAAAA\n", f"\n1\n{'A' * 43}=\n"],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        Checkpoint.parse(text)
