"""The command `stampbook` against a server, as a person or a script uses it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.runtime.stream import Message, open_stream
from tests.support.embedded import ROLE, running_embedded
from tests.support.eventually import eventually
from tests.support.installation import GROCER, KEY, ROOT, Installation, our_code, stampbook
from tests.support.server import free_port, plain_environment

EXAMPLES = ROOT / "examples"
SAMPLE = EXAMPLES / "purchases.ndjson"


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """One server for all tests of this file: each uses ids of its own."""
    with running_embedded() as running:
        yield running


def data_folder(installation: Installation) -> Path:
    return installation.processes[ROLE].folder / "data"


def purchase(id_: str, **changes: Any) -> dict[str, Any]:
    return {
        "type": "purchase",
        "id": id_,
        "member": f"member-of-{id_}",
        "purchased_at": "2026-11-20T10:00:00Z",
        "currency": "USD",
        "lines": [{"line": "1", "sku": "a", "quantity": 1, "amount_minor": 2_500}],
        **changes,
    }


def write(path: Path, *commands: object) -> Path:
    path.write_text("".join(json.dumps(command) + "\n" for command in commands))
    return path


def last_line(text: str) -> Any:
    return json.loads(text.splitlines()[-1])


def test_imports_a_file_once_however_often_it_is_sent(
    installation: Installation, tmp_path: Path
) -> None:
    file = write(tmp_path / "a.ndjson", *(purchase(f"once-{n}") for n in range(1_200)))

    first = installation.stampbook("import", file, "--json")
    second = installation.stampbook("import", file, "--json")

    assert (first.returncode, second.returncode) == (0, 0)
    assert last_line(first.stdout) == {"recorded": 1_200, "repeated": 0, "refused": 0}
    assert last_line(second.stdout) == {"recorded": 0, "repeated": 1_200, "refused": 0}


def test_writes_refused_lines_into_a_file_with_every_reason(
    installation: Installation, tmp_path: Path
) -> None:
    bad = purchase("refused-2", currency="usd", member="a@b")
    file = write(tmp_path / "a.ndjson", purchase("refused-1"), bad, purchase("refused-3"))

    done = installation.stampbook("import", file, "--json")

    assert done.returncode == 1
    assert last_line(done.stdout) == {"recorded": 2, "repeated": 0, "refused": 1}
    [refused] = (tmp_path / "a.ndjson.refused.ndjson").read_text().splitlines()
    line = json.loads(refused)
    assert (line["line"], line["command"]) == (2, bad)
    pointers = {error["pointer"] for error in line["reason"]["errors"]}
    assert pointers == {"/currency", "/member"}


def test_imports_csv_by_its_mapping(installation: Installation, tmp_path: Path) -> None:
    mapping = EXAMPLES / "grocer-mapping.yaml"

    done = installation.stampbook(
        *("import", EXAMPLES / "grocer.csv", "--mapping", mapping, "--state", tmp_path, "--json")
    )

    assert done.returncode == 0, done.stderr
    assert last_line(done.stdout) == {"recorded": 8, "repeated": 0, "refused": 0}


def test_a_return_in_the_same_file_finds_its_purchase(
    installation: Installation, tmp_path: Path
) -> None:
    back = {
        "type": "return",
        "id": "both/r1",
        "returned_at": "2026-11-21T10:00:00Z",
        "lines": [{"line": "1", "quantity": 1, "amount_minor": 2_500}],
    }
    file = write(tmp_path / "a.ndjson", back, purchase("both"))

    done = installation.stampbook("import", file, "--json")

    assert (done.returncode, last_line(done.stdout)) == (
        0,
        {"recorded": 2, "repeated": 0, "refused": 0},
    )


def test_an_import_outlives_a_server_that_is_killed() -> None:
    with running_embedded() as running:
        command = (sys.executable, "-m", "stampbook", "import", str(SAMPLE), "--json")
        with subprocess.Popen(
            (*command, "--state", str(running.processes[ROLE].folder)),
            cwd=ROOT,
            env={
                **plain_environment(),
                **our_code(),
                "STAMPBOOK_URL": running.url,
                "STAMPBOOK_KEY": KEY,
                "STAMPBOOK_MERCHANT": "grocer",
            },
            stdout=subprocess.PIPE,
            text=True,
        ) as importing:
            with running.client() as client:
                eventually(lambda: client.get("/v1/events?limit=1").json()["items"])
            running.kill(ROLE)
            running.start(ROLE)
            out, _ = importing.communicate(timeout=90)

        counts = last_line(out)
        assert counts["recorded"] + counts["repeated"] == 2_024
        assert counts["refused"] == 0
        log = running.stampbook("log", "--type", "purchase.recorded").stdout.splitlines()
        assert len({json.loads(line)["data"]["purchase"] for line in log}) == len(log) == 2_024


def test_prints_the_part_of_the_log_that_is_asked_for(
    installation: Installation, tmp_path: Path
) -> None:
    installation.stampbook("import", write(tmp_path / "a.ndjson", purchase("log-1")))

    def log(*options: str) -> list[dict[str, Any]]:
        done = installation.stampbook("log", *options)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    of_member = ("--member", "member-of-log-1")
    eventually(lambda: len(log(*of_member)) == 2)
    recorded, earned = log(*of_member)
    assert recorded["type"] == "stampbook.purchase.recorded.v1"
    assert log(*of_member, "--type", "points.*") == [earned]
    assert log(*of_member, "--after", str(recorded["position"])) == [earned]


def test_follows_the_log_as_it_grows(installation: Installation, tmp_path: Path) -> None:
    member = "member-of-follow-1"
    with subprocess.Popen(
        (sys.executable, "-m", "stampbook", "log", "--follow", "--member", member),
        cwd=ROOT,
        env={
            **plain_environment(),
            **our_code(),
            "STAMPBOOK_URL": installation.url,
            "STAMPBOOK_KEY": KEY,
        },
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        installation.stampbook("import", write(tmp_path / "a.ndjson", purchase("follow-1")))
        assert following.stdout is not None

        events = [json.loads(following.stdout.readline()) for _ in range(2)]

        following.terminate()
    assert [event["subject"] for event in events] == [member, member]


def test_keys_are_made_listed_and_revoked(installation: Installation) -> None:
    made = installation.stampbook(
        "keys", "create", *("--merchant", "cafe", "--role", "till"), "--json"
    )
    key = json.loads(made.stdout)["key"]

    def self_() -> int:
        with installation.client(key) as client:
            return client.get("/v1/keys/self").status_code

    assert self_() == 200
    listed = json.loads(installation.stampbook("keys", "list", "--json").stdout)["items"]
    [mine] = [each for each in listed if each.get("merchant") == "cafe"]
    assert "key" not in mine
    assert mine["id"] in installation.stampbook("keys", "list").stdout
    assert installation.stampbook("keys", "revoke", mine["id"]).returncode == 0
    assert self_() == 401


def test_a_key_alone_goes_to_standard_output(installation: Installation) -> None:
    made = installation.stampbook("keys", "create", "--role", "auditor")

    assert made.stdout.startswith("sb_")
    assert len(made.stdout.split()) == 1


def test_what_waits_for_its_purchase_is_listed(installation: Installation, tmp_path: Path) -> None:
    back = {
        "type": "return",
        "id": "not-yet/r1",
        "returned_at": "2026-11-21T10:00:00Z",
        "lines": [{"line": "1", "quantity": 1, "amount_minor": 2_500}],
    }

    done = installation.stampbook("import", write(tmp_path / "a.ndjson", back), "--json")

    assert last_line(done.stdout) == {"recorded": 0, "repeated": 0, "refused": 0, "waiting": 1}
    listed = installation.stampbook("dead-letters", "list", "--waiting", "--json")
    assert "not-yet/r1" in {each["id"] for each in json.loads(listed.stdout)["items"]}


def test_a_dead_letter_is_shown_sent_again_and_dropped(installation: Installation) -> None:
    stream = open_stream(f"sqlite://{data_folder(installation)}/stream.db")
    producer = stream.producer()
    producer.append("intake", [Message("x", b"not a command")])
    producer.close()
    stream.close()

    def parked() -> list[dict[str, Any]]:
        listed = installation.stampbook("dead-letters", "list", "--json")
        items: list[dict[str, Any]] = json.loads(listed.stdout)["items"]
        return items

    eventually(parked)
    [letter] = parked()
    assert installation.stampbook("doctor").returncode == 1
    shown = json.loads(
        installation.stampbook("dead-letters", "show", letter["id"], "--json").stdout
    )
    assert shown["text"] == "not a command"
    # Sent again it is as bad as before: one letter is dealt with, another one comes.
    assert installation.stampbook("dead-letters", "retry", letter["id"]).returncode == 0
    eventually(lambda: [each["id"] for each in parked()] not in ([], [letter["id"]]))
    [again] = parked()
    dropped = installation.stampbook("dead-letters", "drop", again["id"], "--reason", "rubbish")
    assert dropped.returncode == 0
    assert parked() == []


def test_verifies_and_finds_nothing(installation: Installation) -> None:
    done = installation.stampbook("verify", "--json")

    assert done.returncode == 0
    assert last_line(done.stdout)["ok"] is True


def test_exports_for_the_operator_only(installation: Installation, tmp_path: Path) -> None:
    made = installation.stampbook(
        "keys", "create", "--role", "merchant", "--merchant", "grocer", "--json"
    )
    key = last_line(made.stdout)["key"]

    refused = installation.stampbook("export", tmp_path / "part", "--key", key)
    done = installation.stampbook("export", tmp_path / "whole", "--json")

    assert (refused.returncode, "operator's key" in refused.stderr) == (2, True)
    assert not list((tmp_path / "part").iterdir())
    assert (done.returncode, (tmp_path / "whole" / "manifest.json").exists()) == (0, True)


def test_rebuilds_a_view_beside_the_one_in_use(installation: Installation) -> None:
    compared = installation.stampbook("rebuild", "balances", "--json")
    switched = installation.stampbook("rebuild", "balances", "--switch")
    unknown = installation.stampbook("rebuild", "weather")

    assert (compared.returncode, last_line(compared.stdout)["differences"]) == (0, 0)
    assert (switched.returncode, "put in place, 0 differences" in switched.stderr) == (0, True)
    assert (unknown.returncode, "unknown-view" in unknown.stderr) == (1, True)


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_says_when_nobody_answers(option: list[str]) -> None:
    done = stampbook(
        "verify", *option, environment={"STAMPBOOK_URL": f"http://127.0.0.1:{free_port()}"}
    )

    assert done.returncode == 3
    assert done.stdout == ""
    assert "stampbook up" in done.stderr


def test_a_key_that_is_unknown_is_refused_with_what_to_do(installation: Installation) -> None:
    done = installation.stampbook("keys", "list", key="sb_somebody-elses")

    assert done.returncode == 1
    assert "key-unknown" in done.stderr
    assert "STAMPBOOK_KEY" in done.stderr


def test_uses_the_key_of_the_folder_it_is_called_in(
    installation: Installation, tmp_path: Path
) -> None:
    folder = tmp_path / "stampbook-data"
    folder.mkdir()
    (folder / "operator.key").write_text(KEY + "\n")

    done = stampbook(
        "keys", "list", environment={"STAMPBOOK_URL": installation.url}, folder=tmp_path
    )

    assert done.returncode == 0
    assert "Using the key in stampbook-data/operator.key" in done.stderr


def test_never_shows_that_key_to_another_machine(tmp_path: Path) -> None:
    folder = tmp_path / "stampbook-data"
    folder.mkdir()
    (folder / "operator.key").write_text(KEY + "\n")

    done = stampbook(
        "keys", "list", environment={"STAMPBOOK_URL": "http://stampbook.invalid"}, folder=tmp_path
    )

    assert "Using the key" not in done.stderr


def test_the_programme_is_the_one_that_up_was_given(installation: Installation) -> None:
    with installation.client() as client:
        found = client.get("/v1/programmes/grocer").json()

    assert found["in_force"] == 1
    assert (
        GROCER.read_text()
        == (client_text(installation, "/v1/programmes/grocer/versions/1")["as_written"]["text"])
    )


def client_text(installation: Installation, path: str) -> Any:
    with installation.client() as client:
        return client.get(path).json()
