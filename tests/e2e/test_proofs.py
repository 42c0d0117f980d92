"""An auditor keeps what was shown, and holds it against the log later, without the server."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e.shop import Shop
from tests.support.offline import PATH
from tests.support.server import plain_environment

LATER = ("--checkpoint", "today.note", "--consistency", "growth.json")


@pytest.fixture
def kept(shop: Shop, tmp_path: Path) -> Path:
    """A folder with a member's events of yesterday, today's checkpoint, and what lies between."""
    member = shop.name("m")
    shop.buy(shop.name("p-1"), member, 1_000)
    shop.wait_for_points(member, 1)
    bundle = shop.client.get("/v1/proofs/events", params={"member": member})
    shop.buy(shop.name("p-2"), member, 2_000)
    shop.wait_for_points(member, 3)
    note = shop.client.get("/v1/checkpoint").text
    sizes = {"from": bundle.json()["checkpoint"].split("\n")[1], "to": note.split("\n")[1]}
    growth = shop.client.get("/v1/proofs/consistency", params=sizes)
    month = datetime.now(UTC).strftime("%Y-%m")
    statement = shop.client.get(f"/v1/members/{member}/statements/{month}/signed")
    (tmp_path / "statement.txt").write_bytes(statement.content)
    (tmp_path / "bundle.json").write_bytes(bundle.content)
    (tmp_path / "today.note").write_bytes(note.encode())
    (tmp_path / "growth.json").write_bytes(growth.content)
    return tmp_path


def verified(shop: Shop, folder: Path, *what: str) -> subprocess.CompletedProcess[str]:
    """What the script says, with the keys that the log names."""
    found = shop.get("checkpoint/keys")
    keys = [*(item["key"] for item in found["items"]), *found["documents"]]
    return subprocess.run(
        (sys.executable, "-I", PATH, *(f"--key={key}" for key in keys), *what),
        cwd=folder,
        env=plain_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_was_kept_is_still_in_the_log(shop: Shop, kept: Path) -> None:
    said = verified(shop, kept, "bundle.json", *LATER)

    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("2 events are in the log stampbook.localhost/ledger of ")
    assert "has only grown since" in said.stdout


def test_what_was_changed_is_not(shop: Shop, kept: Path) -> None:
    bundle = kept / "bundle.json"
    bundle.write_bytes(bundle.read_bytes().replace(b'\\"points\\":1,', b'\\"points\\":9,'))

    said = verified(shop, kept, "bundle.json", *LATER)

    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith("REJECTED: the event at position ")


def test_a_statement_is_checked_without_us(shop: Shop, kept: Path) -> None:
    statement = kept / "statement.txt"

    said = verified(shop, kept, "statement.txt")
    statement.write_bytes(statement.read_bytes().replace(b'"closing":3', b'"closing":9'))
    forged = verified(shop, kept, "statement.txt")

    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("2 events are in the log")
    assert (forged.returncode, forged.stdout) == (1, "")
