"""`stampbook up`: starting, stopping, damage, and the demo."""

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from tests.support.embedded import ROLE, running_embedded
from tests.support.eventually import eventually
from tests.support.installation import GROCER, ROOT, our_code, stampbook
from tests.support.server import free_port, plain_environment

STOP_S_MAX = 5.0


def test_a_second_one_is_kept_out_of_the_folder() -> None:
    with running_embedded() as running:
        folder = running.processes[ROLE].folder / "data"

        second = stampbook("up", "--data", folder, "--port", "0", environment={})

        assert second.returncode == 1
        assert "in use by another Stampbook" in second.stderr


def test_says_when_the_port_is_taken(tmp_path: Path) -> None:
    with running_embedded() as running:
        port = running.url.rpartition(":")[2]

        second = stampbook("up", "--data", tmp_path / "data", "--port", port, environment={})

        assert second.returncode == 1
        assert "--port" in second.stderr


def test_names_every_fault_of_a_programme_with_its_line(tmp_path: Path) -> None:
    programme = tmp_path / "broken.yaml"
    programme.write_text(GROCER.read_text().replace('per: "10.00"', 'per: "0", bonus: 2'))

    done = stampbook(
        "up", "--data", tmp_path / "data", "--port", "0", "--programme", programme, environment={}
    )

    assert done.returncode == 2
    assert re.search(r"line \d+, /rules/base/earn/per", done.stderr)
    assert "/rules/base/earn/bonus" in done.stderr


def test_keeps_its_signing_keys_to_itself_and_takes_no_others(tmp_path: Path) -> None:
    with running_embedded() as running:
        folder = running.processes[ROLE].folder / "data"
        modes = [(folder / name).stat().st_mode & 0o777 for name in ("log.key", "documents.key")]
    (tmp_path / "log.key").write_text("hello\n")

    done = stampbook("up", "--data", tmp_path, "--port", "0", environment={})

    assert modes == [0o600, 0o600]
    assert done.returncode == 1
    assert "a private key begins with PRIVATE+KEY+" in done.stderr
    assert "Traceback" not in done.stderr


def test_announces_itself_and_stops_when_asked(tmp_path: Path) -> None:
    with subprocess.Popen(
        (sys.executable, "-m", "stampbook", "up", "--port", "0", "--json"),
        cwd=tmp_path,
        env={**plain_environment(), **our_code()},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        up = json.loads(process.stdout.readline())
        key_file = Path(up["key_file"])
        listed = stampbook(
            "keys", "list", environment={"STAMPBOOK_URL": up["url"]}, folder=tmp_path
        )
        asked_at_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=30)
        took_s = time.monotonic() - asked_at_s

    assert key_file == tmp_path / "stampbook-data" / "operator.key"
    assert listed.returncode == 0, listed.stderr
    assert status == 0
    assert took_s < STOP_S_MAX


def test_a_log_that_was_tampered_with_is_found_at_its_position(tmp_path: Path) -> None:
    with running_embedded(tmp_path) as running:
        imported = running.stampbook(
            "import",
            ROOT / "examples" / "grocer.csv",
            "--mapping",
            ROOT / "examples" / "grocer-mapping.yaml",
            "--state",
            tmp_path,
        )
        assert imported.returncode == 0
        folder = running.processes[ROLE].folder / "data"
        running.processes[ROLE].stop()
        assert stampbook("verify", "--data", folder, environment={}).returncode == 0
        with closing(sqlite3.connect(folder / "ledger.db")) as database, database:
            [event] = database.execute("SELECT event FROM events WHERE position = 3").fetchone()
            changed = bytes(event).replace(b'"quantity":1', b'"quantity":2', 1)
            assert changed != bytes(event)
            database.execute("UPDATE events SET event = ? WHERE position = 3", (changed,))

        stopped = stampbook("verify", "--data", folder, environment={})
        running.start(ROLE)
        served = running.stampbook("verify", "--json")

    assert stopped.returncode == 1
    assert stopped.stderr.startswith("Position 3: hash")
    assert served.returncode == 1
    assert json.loads(served.stdout.splitlines()[-1])["position"] == 3


def test_a_view_of_a_stopped_installation_is_rebuilt_and_put_in_place(tmp_path: Path) -> None:
    with running_embedded(tmp_path) as running:
        sample = ROOT / "examples" / "purchases.ndjson"
        assert running.stampbook("import", sample, "--state", tmp_path).returncode == 0
        folder = running.processes[ROLE].folder / "data"
        eventually(lambda: "points.earned" in running.stampbook("log").stdout)
        held = stampbook("rebuild", "balances", "--switch", "--data", folder, environment={})
        running.processes[ROLE].stop()
        with closing(sqlite3.connect(folder / "ledger.db")) as database, database:
            assert database.execute("UPDATE lots SET points_left = 1").rowcount

        damaged = stampbook("rebuild", "balances", "--data", folder, environment={})
        mended = stampbook("rebuild", "balances", "--switch", "--data", folder, environment={})
        sound = stampbook("rebuild", "balances", "--data", folder, "--json", environment={})

    assert (held.returncode, "in use" in held.stderr) == (1, True)
    assert (damaged.returncode, mended.returncode, sound.returncode) == (1, 0, 0)
    assert "kept points_left 1" in damaged.stderr
    assert json.loads(sound.stdout)["differences"] == 0


def test_an_installation_that_was_lost_comes_back_from_its_export(tmp_path: Path) -> None:
    files, sample = tmp_path / "files", ROOT / "examples" / "purchases.ndjson"
    with running_embedded(tmp_path) as running:
        assert running.stampbook("import", sample, "--state", tmp_path).returncode == 0
        exported = json.loads(running.stampbook("export", files, "--json").stdout)
        data = running.processes[ROLE].folder / "data"
        running.processes[ROLE].stop()
        shutil.rmtree(data)

        restored = stampbook("restore", files, "--data", data, "--json", environment={})
        verified = stampbook("verify", "--data", data, environment={})
        running.start(ROLE)
        again = running.stampbook("import", sample, "--state", tmp_path / "anew", "--json")
        found = running.verify()

    assert json.loads(restored.stdout)["chain"] == exported["chain"]
    assert (verified.returncode, found["ok"]) == (0, True)
    counts = json.loads(again.stdout.splitlines()[-1])
    assert (counts["recorded"], counts["refused"]) == (0, 0)


def test_a_store_that_no_server_would_start_on_is_still_named(tmp_path: Path) -> None:
    with running_embedded(tmp_path) as running:
        folder = running.processes[ROLE].folder / "data"
        running.processes[ROLE].stop()
        (folder / "ledger.db").write_bytes(b"not a database" * 1_000)
        for leftover in folder.glob("ledger.db-*"):
            leftover.unlink()

        verified = stampbook("verify", "--data", folder, "--json", environment={})
        examined = stampbook("doctor", "--data", folder, "--json", environment={})

    assert verified.returncode == 1
    assert json.loads(verified.stdout)["position"] == 1
    assert examined.returncode == 1
    assert "Traceback" not in verified.stderr + examined.stderr


def test_the_doctor_is_content_with_a_folder_in_order() -> None:
    with running_embedded() as running:
        folder = running.processes[ROLE].folder / "data"

        examined = stampbook("doctor", "--data", folder, environment={})

        assert examined.returncode == 0, examined.stdout


def test_the_demo_tells_its_story_and_leaves(tmp_path: Path) -> None:
    line = ("up", "--demo", "--exit", "--data", tmp_path / "data", "--port", str(free_port()))

    first = stampbook(*line, environment={})
    second = stampbook(*line, environment={})

    assert first.returncode == 0, first.stdout + first.stderr
    assert "2,024 recorded, 0 repeated, 0 refused" in first.stdout
    assert "checked: valid" in first.stdout
    assert "taken back, by the rules of the day of purchase" in " ".join(first.stdout.split())
    assert "\x1b" not in first.stdout
    # Told again in the same folder, it repeats the purchases and spends what is left.
    assert second.returncode == 0, second.stdout + second.stderr
    assert "0 recorded, 2,024 repeated, 0 refused" in second.stdout


def test_a_demo_of_its_own_leaves_nothing_behind() -> None:
    done = stampbook("up", "--demo", "--exit", environment={})

    assert done.returncode == 0, done.stdout + done.stderr
    [folder] = re.findall(r"Data: +(\S+)", done.stdout)
    assert not Path(folder).exists()
