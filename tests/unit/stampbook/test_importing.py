"""An import from its file to its counts, against a server that fails now and then."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from stampbook import importing
from stampbook.client import Client
from stampbook.failures import Refused, Unreachable
from stampbook.import_journal import Counts, Journal
from stampbook.import_sender import Interrupted, Sender
from stampbook.import_source import Line, NdjsonSource, Place
from stampbook.importing import FileImport
from stampbook.session import Session
from tests.support.batch_server import BatchServer, running_batch_server

_ALL_IS_WELL = ""  # no fault


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with running_batch_server() as running:
        yield running


def write(path: Path, count: int) -> Path:
    path.write_text(
        "".join(json.dumps({"type": "purchase", "id": str(n)}) + "\n" for n in range(count))
    )
    return path


def import_(server: BatchServer, file: Path) -> Counts:
    client = Client(server.url, "key")
    session = Session(url=server.url, key="key", as_json=True)
    try:
        return FileImport(
            session, client, file, NdjsonSource(file), goal="here", state=file.parent
        ).run()
    finally:
        client.close()


def lines(count: int) -> list[Line]:
    return [Line(n, json.dumps({"type": "purchase", "id": str(n)}).encode()) for n in range(count)]


def test_a_second_run_repeats_everything_and_records_nothing(
    server: BatchServer, tmp_path: Path
) -> None:
    file = write(tmp_path / "purchases.ndjson", 1_200)

    first, second = import_(server, file), import_(server, file)

    assert first == Counts(recorded=1_200)
    assert second == Counts(repeated=1_200)
    assert [path.name for path in tmp_path.iterdir()] == ["purchases.ndjson"]


@pytest.mark.parametrize("fault", [429, 503, 500, "cut"])
def test_a_fault_that_passes_costs_only_time(
    server: BatchServer, tmp_path: Path, fault: int | str
) -> None:
    server.faults = [fault]

    counts = import_(server, write(tmp_path / "purchases.ndjson", 40))

    assert counts.recorded + counts.repeated == 40
    assert len(server.recorded) == 40


def test_what_was_answered_before_the_connection_broke_is_not_sent_again(
    server: BatchServer, tmp_path: Path
) -> None:
    server.faults = ["cut"]

    counts = import_(server, write(tmp_path / "purchases.ndjson", 40))

    # The server had recorded all of them; the importer heard of half, and asked for the rest.
    assert counts == Counts(recorded=20, repeated=20)


def test_writes_down_what_was_refused_and_why(server: BatchServer, tmp_path: Path) -> None:
    server.refused_ids = {"3"}

    counts = import_(server, write(tmp_path / "purchases.ndjson", 5))

    assert counts == Counts(recorded=4, refused=1)
    [refused] = (tmp_path / "purchases.ndjson.refused.ndjson").read_bytes().splitlines()
    assert msgspec.json.decode(refused) == {
        "line": 4,
        "reason": {"status": 422, "code": "invalid", "detail": "one field is bad"},
        "command": {"type": "purchase", "id": "3"},
    }


def test_asks_again_for_what_is_undecided_and_for_what_waits(
    server: BatchServer, tmp_path: Path
) -> None:
    server.undecided_ids = {"1"}
    server.waiting_ids = {"2"}

    counts = import_(server, write(tmp_path / "purchases.ndjson", 5))

    assert counts == Counts(recorded=5)


def test_goes_on_where_it_was_interrupted(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "IN_FLIGHT", 1)
    file = write(tmp_path / "purchases.ndjson", 1_200)
    server.faults = [_ALL_IS_WELL, _ALL_IS_WELL, 403]
    with pytest.raises(Refused):
        import_(server, file)
    sent_before = server.requests

    counts = import_(server, file)

    assert counts == Counts(recorded=1_200)
    assert server.requests - sent_before == 1


def test_begins_anew_when_the_server_has_forgotten(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "IN_FLIGHT", 1)
    file = write(tmp_path / "purchases.ndjson", 1_200)
    server.faults = [_ALL_IS_WELL, _ALL_IS_WELL, 403]
    with pytest.raises(Refused):
        import_(server, file)
    server.recorded.clear()

    assert import_(server, file) == Counts(recorded=1_200)
    assert len(server.recorded) == 1_200


def test_begins_anew_when_the_file_has_changed(tmp_path: Path) -> None:
    file = write(tmp_path / "purchases.ndjson", 3)
    path = tmp_path / "journal.json"
    journal = Journal(path, data=file, goal="here")
    progress = journal.begin()
    progress.offset = 20
    journal.save(progress)

    assert Journal(path, data=file, goal="here").load() == progress
    assert Journal(path, data=file, goal="there").load() is None
    write(file, 4)
    assert Journal(path, data=file, goal="here").load() is None


def test_a_journal_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    file = write(tmp_path / "purchases.ndjson", 3)
    path = tmp_path / "journal.json"
    path.write_text('{"offset": ')

    assert Journal(path, data=file, goal="here").load() is None
    assert Journal(path, data=file, goal="here").begin().place == Place()


def test_gives_up_when_nobody_answers_for_too_long() -> None:
    client = Client("http://127.0.0.1:9", "key")

    with pytest.raises(Unreachable):
        Sender(client, patience_s=0).decide(lines(1))

    client.close()


def test_a_stopped_sender_does_not_wait(server: BatchServer) -> None:
    server.faults = [503]
    client = Client(server.url, "key")
    sender = Sender(client)
    sender.stop()

    with pytest.raises(Interrupted):
        sender.decide(lines(1))

    client.close()
