"""What the lock files promise: every package by its hash, from wherever the reader installs."""

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements"


@pytest.mark.parametrize("name", ["run.lock", "test.lock"])
def test_every_locked_package_has_one_version_and_hashes(name: str) -> None:
    entries = re.split(r"\n(?=\S)", (REQUIREMENTS / name).read_text().strip())

    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ ", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
