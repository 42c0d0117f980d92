"""What an operator does in a shell, against either installation."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.shop import Shop
from tests.support.installation import stampbook
from tests.support.server import free_port

Done = subprocess.CompletedProcess[str]


def told(done: Done, code: int = 0) -> Any:
    """The JSON that a command ended with."""
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_imports_a_file_once_however_often_it_is_sent(shop: Shop, tmp_path: Path) -> None:
    member = shop.name("m")
    lines = [
        json.dumps({"type": "purchase", "id": shop.name(f"b{n}"), **shop.purchase(member, 1_000)})
        for n in range(30)
    ]
    bad = json.dumps({"type": "purchase", "id": shop.name("bad"), "member": member})
    file = tmp_path / "purchases.ndjson"
    file.write_text("\n".join([*lines[:10], bad, *lines]) + "\n")

    first = shop.installation.stampbook("import", file, "--json")
    (tmp_path / "copy").mkdir()
    copy = file.rename(tmp_path / "copy" / "purchases.ndjson")
    second = shop.installation.stampbook("import", copy, "--json")

    assert told(first, 1) == {"recorded": 30, "repeated": 10, "refused": 1}
    assert told(second, 1) == {"recorded": 0, "repeated": 40, "refused": 1}
    [refused] = (tmp_path / "purchases.ndjson.refused.ndjson").read_text().splitlines()
    assert shop.name("bad") in refused
    shop.wait_for_points(member, 30)


def test_prints_the_log(shop: Shop) -> None:
    member = shop.name("m")
    before = shop.end_of_log()
    shop.buy(shop.name("b"), member, 3_000)
    shop.wait_for_points(member, 3)

    done = shop.installation.stampbook("log", "--after", before, "--member", member)
    points = shop.installation.stampbook("log", "--member", member, "--type", "points.*")

    assert done.returncode == 0
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert printed == list(shop.events(member=member))
    assert [json.loads(line) for line in points.stdout.splitlines()] == printed[1:]


def test_verifies_the_whole_log(shop: Shop) -> None:
    shop.buy(shop.name("b"), shop.name("m"), 3_000)
    shop.wait_for_points(shop.name("m"), 3)

    verdict = told(shop.installation.stampbook("verify", "--json"))

    assert verdict["ok"] is True
    assert verdict["events"] >= int(shop.end_of_log()) - 1
    assert shop.installation.verify()["ok"] is True


def test_the_doctor_finds_nothing_wrong(shop: Shop) -> None:
    findings = told(shop.installation.stampbook("doctor", "--json"))

    assert findings["ok"] is True
    assert {finding["subject"] for finding in findings["findings"]}


def test_makes_lists_and_revokes_keys(shop: Shop) -> None:
    run = shop.installation.stampbook

    made = told(run("keys", "create", "--role", "till", "--merchant", shop.name("own"), "--json"))
    asked = run("log", "--json", key=made["key"])
    listed = told(run("keys", "list", "--json"))["items"]
    told(run("keys", "revoke", made["id"], "--json"))
    refused = run("log", "--json", key=made["key"])

    assert (asked.returncode, asked.stdout) == (0, "")
    assert made["id"] in [key["id"] for key in listed]
    assert refused.returncode == 1
    assert json.loads(refused.stderr)["code"] == "key-unknown"


def test_lists_what_waits(shop: Shop) -> None:
    path = f"{shop.name('b')}/r1"
    shop.give_back(path, {"1": 1_000})

    listed = told(shop.installation.stampbook("dead-letters", "list", "--waiting", "--json"))

    assert path in [each["id"] for each in listed["items"]]


def test_says_by_its_exit_code_how_it_failed(shop: Shop) -> None:
    run = shop.installation.stampbook
    nobody = {"STAMPBOOK_URL": f"http://127.0.0.1:{free_port()}"}

    refused = run("dead-letters", "show", "no-letter", "--json")
    misused = run("keys", "create", "--role", "king")
    unreachable = stampbook("log", "--json", environment=nobody)

    assert [done.returncode for done in (refused, misused, unreachable)] == [1, 2, 3]
    assert json.loads(refused.stderr)["status"] == 422
