"""A ledger taken out as files and put into an empty database is the same ledger."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.ledger import archive
from services.ledger.archive import BESIDE, OF_THE_INSTALLATION, beside
from services.ledger.cache import WRITER
from services.ledger.publisher import relay
from services.ledger.rebuild import switch
from services.ledger.replay import TABLES
from services.ledger.verify import verify
from services.runtime.clock import utc_now
from services.runtime.database import Connection, Database, open_database
from services.runtime.footing import Footing
from services.runtime.migrations import migrate
from services.runtime.ownership import Ownership, load_places
from services.runtime.relay import Relay
from services.runtime.shards import ShardsDiffer, Share, claim
from services.runtime.stream import Message, Stream, StreamUnavailable, open_stream
from stampbook.cli import app
from tests.support.databases import BOTH
from tests.support.desk import Desk
from tests.support.eventually import eventually
from tests.support.postgres_server import Postgres

LOG = {"events", "log_head", "tiles"}


@pytest.fixture(params=BOTH)
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where to restore to: an empty database of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'other.db'}"
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    url = postgres.fresh_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture
def desk(database: Database) -> Desk:
    """Thirteen events or so; and what they do not tell: a refusal, a waiting return, a letter."""
    desk = Desk(database)
    desk.send(desk.purchase("p-1"), desk.award(100), desk.redemption("s-1", 90))
    desk.send(desk.purchase("p-2"), desk.award(5, purchase="p-2"), desk.reversal("s-1", 20))
    desk.send(desk.return_("p-1/r-1"), desk.take_back(50), desk.redemption("s-2", 1_000_000))
    desk.send(desk.purchase("p-3", member=None), desk.return_("p-9/r-1"))
    desk.send(desk.purchase("p-3", member="other"))  # id-reused
    return desk


def run(*arguments: object) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def failed(*arguments: object) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code in (1, 2)
    return " ".join(done.stderr.split())


@pytest.fixture
def exported(desk: Desk, database_url: str, tmp_path: Path) -> Path:  # noqa: ARG001  # it is filled
    folder = tmp_path / "export"
    run("export", folder, "--database", database_url, "--segment-events", 4)
    return folder


def contents(connection: Connection) -> dict[str, Any]:
    """Every row of every table of the ledger's own, but what belongs to the installation."""
    return {
        table: sorted(
            repr([bytes(c) if isinstance(c, memoryview) else c for c in row])
            for row in connection.rows(f"SELECT * FROM {table}")
        )
        for table in (*LOG, *(table.name for table in TABLES), *BESIDE)
        if table not in ("dead_letters", "positions")  # these change on purpose
    }


@pytest.fixture
def restored(exported: Path, other_url: str) -> Iterator[Database]:
    run("restore", exported, "--database", other_url)
    with closing(open_database(other_url)) as database:
        yield database


def test_everything_is_there_again(desk: Desk, restored: Database) -> None:
    with desk.database.read() as before, restored.read() as after:
        assert contents(after) == contents(before)
    verdict = verify(restored, progress=lambda *_: None)
    assert (verdict.ok, verdict.events) == (True, len(desk.events()))


def test_the_restored_ledger_knows_what_was_sent_and_goes_on(
    desk: Desk, restored: Database
) -> None:
    again = Desk(restored)
    count = len(desk.events())

    again.send(desk.purchase("p-1"), desk.redemption("s-1", 90), desk.redemption("s-2", 1_000_000))
    assert len(again.events()) == count
    again.send(desk.redemption("s-1", 91))
    assert len(again.letters()) == len(desk.letters()) + 1
    again.send(desk.purchase("p-9"), desk.redemption("s-3", 1))

    assert again.types()[count:] == ["purchase.recorded", "return.recorded"]
    declined = again.outcome("redemption", "s-3")
    assert declined is not None
    assert declined.code == "not-enough-points"  # the debt is remembered
    assert verify(restored, progress=lambda *_: None).ok


def test_the_restored_ledger_knows_whose_is_what(
    desk: Desk, database_url: str, other_url: str, tmp_path: Path
) -> None:
    desk.send(desk.command("claim", "p-3/a", {"member": "1130"}))
    desk.send(desk.command("card", "4711/a", {"member": "1130", "blocked": True}))

    run("export", tmp_path / "all", "--database", database_url)
    run("restore", tmp_path / "all", "--database", other_url)

    with closing(open_database(other_url)) as restored:
        with desk.database.read() as before, restored.read() as after:
            was, is_ = contents(before), contents(after)
        again = Desk(restored)
        again.send(again.command("claim", "p-3/b", {"member": "27"}))
        again.send(again.command("card", "4711/b", {"member": "1130", "blocked": False}))
        outcomes = again.outcome("claim", "p-3/b"), again.outcome("card", "4711/b")
    assert (is_["claims"], is_["cards"]) == (was["claims"], was["cards"])
    assert (len(was["claims"]), len(was["cards"])) == (1, 1)
    assert [found and found.code for found in outcomes] == ["already-claimed", "card-blocked"]


def test_a_lot_that_no_purchase_earned_is_restored_too(
    desk: Desk, database_url: str, other_url: str, tmp_path: Path
) -> None:
    granted = {"member": "other", "unit": "points", "points": 9, "direction": "credit"}
    desk.send(desk.command("adjustment", "a-1", {**granted, "reason": "put right"}))

    run("export", tmp_path / "all", "--database", database_url)
    run("restore", tmp_path / "all", "--database", other_url)

    with closing(open_database(other_url)) as restored:
        with desk.database.read() as before, restored.read() as after:
            assert contents(after) == contents(before)
        assert verify(restored, progress=lambda *_: None).ok


def test_a_log_stays_the_shard_that_it_was(restored: Database) -> None:
    with restored.write() as connection:
        claim(connection, Share(0, 1))
        with pytest.raises(ShardsDiffer):
            claim(connection, Share(1, 3))
        assert load_places(connection, WRITER) == {}


def test_the_files_hold_the_very_bytes(desk: Desk, exported: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_bytes())

    lines = b"".join((exported / part["file"]).read_bytes() for part in manifest["segments"])

    with desk.database.read() as connection:
        events = connection.rows("SELECT event, chain FROM events ORDER BY position")
    assert lines == b"".join(bytes(event) + b"\n" for event, _ in events)
    assert manifest["chain"] == bytes(events[-1][1]).hex()
    assert manifest["position"] == len(events)
    assert [part["last_position"] for part in manifest["segments"]] == [4, 8, 9]
    assert all(path.stat().st_mode & 0o77 == 0 for path in exported.iterdir())


def test_what_is_there_is_not_written_again(
    desk: Desk, exported: Path, database_url: str, other_url: str
) -> None:
    old = {path: path.stat().st_ino for path in exported.glob("events-*")}
    desk.send(desk.purchase("p-7"))

    again = run("export", exported, "--database", database_url)

    assert again["position"] == 10
    assert all(path.stat().st_ino == inode for path, inode in old.items())
    assert len(list(exported.glob("events-*"))) == len(old) + 1
    assert len(list(exported.glob("beside-*-outcomes*"))) == 1
    assert run("restore", exported, "--database", other_url)["position"] == 10


def test_an_interrupted_export_goes_on(
    exported: Path, database_url: str, tmp_path: Path, other_url: str
) -> None:
    manifest = json.loads((exported / "manifest.json").read_bytes())
    broken = tmp_path / "broken"
    shutil.copytree(exported, broken)
    half = {**manifest, "position": None, "chain": "", "root": "", "beside": []}
    half["segments"] = manifest["segments"][:1]
    (broken / "manifest.json").write_text(json.dumps(half))
    (broken / "events-000000000005.ndjson.new").write_bytes(b"half a li")
    assert "no complete export" in failed("restore", broken, "--database", other_url)

    run("export", broken, "--database", database_url, "--segment-events", 4)

    assert {path.name: path.read_bytes() for path in broken.iterdir()} == {
        path.name: path.read_bytes() for path in exported.iterdir()
    }


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("events-000000000005-000000000008.ndjson", "events-000000000005-000000000008.ndjson"),
        ("beside-000000000009-outcomes.ndjson", "beside-000000000009-outcomes.ndjson"),
    ],
)
def test_a_damaged_or_missing_file_is_named_and_the_rest_goes_on_later(
    exported: Path, other_url: str, file: str, said: str
) -> None:
    sound = (exported / file).read_bytes()
    (exported / file).unlink()
    missing = failed("restore", exported, "--database", other_url)
    (exported / file).write_bytes(sound.replace(b"p-1", b"p-8").replace(b"recorded", b"declined"))
    damaged = failed("restore", exported, "--database", other_url)
    with closing(open_database(other_url)) as database:
        Desk(database)  # no writer may start on half a ledger
        with pytest.raises(ValueError, match="not restored yet"):
            switch(database, "balances", now=utc_now(), progress=lambda *_: None)
        assert Desk(database).footing.ownership.acquire(WRITER) is None

    (exported / file).write_bytes(sound)
    run("restore", exported, "--database", other_url)

    assert said in missing
    assert "missing" in missing
    assert said in damaged
    assert "damaged" in damaged
    with closing(open_database(other_url)) as database:
        assert verify(database, progress=lambda *_: None).ok
        assert Desk(database).footing.ownership.acquire(WRITER) is not None


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Stream]:
    with closing(open_stream(f"sqlite://{tmp_path / 'stream.db'}", partitions=1)) as stream:
        stream.ensure_topics()
        yield stream


def relay_of(database: Database, stream: Stream) -> Relay:
    ownership = Ownership(database, utc_now, owner="relay", lease=timedelta(seconds=10))
    return relay(Footing(database=database, stream=stream, ownership=ownership, clock=utc_now))


def test_topics_made_anew_get_the_whole_log(desk: Desk, restored: Database, stream: Stream) -> None:
    role, stop = relay_of(restored, stream), threading.Event()
    thread = threading.Thread(target=role.run, args=(stop,))
    thread.start()
    eventually(lambda: role.lag() == 0)
    stop.set()
    thread.join()

    with closing(stream.reader("ledger")) as reader:
        reader.seek({0: 0})
        published = [record.value for record in reader.poll(max_records=100, timeout_s=5)]

    with desk.database.read() as connection:
        events = connection.rows("SELECT event FROM events ORDER BY position")
    assert published == [bytes(event) for (event,) in events]


def test_a_topic_that_is_ahead_of_the_log_gets_nothing_more(
    restored: Database, stream: Stream
) -> None:
    with closing(stream.producer()) as producer:
        producer.append("ledger", [Message("1130", b'{"position": 10}')])
    role = relay_of(restored, stream)

    with pytest.raises(StreamUnavailable, match="holds position 10, and the log ends at 9"):
        role.run(threading.Event())

    with pytest.raises(RuntimeError, match="an older copy of the log was restored"):
        role.lag()
    with closing(stream.reader("ledger")) as reader:
        assert sum(reader.end_offsets().values()) == 1


def test_an_answer_that_breaks_off_is_no_export(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    whole = list(beside(desk.database))
    monkeypatch.setattr(archive, "beside", lambda _: iter(whole[:-2]))

    said = failed("export", tmp_path / "part", "--database", database_url)

    assert "run the same again" in said
    assert json.loads((tmp_path / "part" / "manifest.json").read_bytes())["position"] is None


def test_a_ledger_is_never_overwritten(exported: Path, database_url: str) -> None:
    assert "holds a ledger" in failed("restore", exported, "--database", database_url)


def test_another_ledgers_log_is_not_added_to(exported: Path, other_url: str) -> None:
    with closing(open_database(other_url)) as database:
        migrate(database, "services.ledger")
        other = Desk(database)
        other.send(*(other.purchase(f"other-{n}") for n in range(20)))

    assert "another ledger" in failed("export", exported, "--database", other_url)


def test_every_table_is_rebuilt_or_taken_along_or_left_on_purpose(
    database: Database, database_url: str
) -> None:
    """Who adds a table says here what becomes of it."""
    if database_url.startswith("sqlite"):
        sql = "SELECT name FROM sqlite_master WHERE type = 'table'"
    else:
        sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    with database.read() as connection:
        found = {name for (name,) in connection.rows(sql)}

    assert found == LOG | {table.name for table in TABLES} | BESIDE.keys() | OF_THE_INSTALLATION
