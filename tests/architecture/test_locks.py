"""What the lock files promise: every package by its hash, from wherever the reader installs."""

import re

import pytest

from tests.architecture.tree import ROOT

PACKAGE = re.compile(r"[a-z0-9-]+==[0-9a-z.]+(?: ; [^;\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
JAR = re.compile(r"[\w.-]+:[\w.-]+:[\w.-]+ [0-9a-f]{128}")


@pytest.mark.parametrize("name", ["run.lock", "test.lock"])
def test_a_lock_holds_versions_and_their_hashes_and_no_address(name: str) -> None:
    lines = (ROOT / "requirements" / name).read_text().splitlines()

    assert [line for line in lines if not (PACKAGE.fullmatch(line) or HASH.fullmatch(line))] == []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        assert bool(HASH.fullmatch(following)) == line.endswith("\\"), line


def test_the_run_packages_are_among_the_test_packages_at_the_same_versions() -> None:
    run, test = (
        set(PACKAGE.findall((ROOT / "requirements" / name).read_text()))
        for name in ("run.lock", "test.lock")
    )

    assert run
    assert run < test


def test_kafka_is_locked_jar_by_jar() -> None:
    jars = (ROOT / "tests/support/kafka-jars.lock").read_text().splitlines()

    assert [jar for jar in jars if not JAR.fullmatch(jar)] == []
    assert any(jar.startswith("org.apache.kafka:kafka_2.13:4.3.1 ") for jar in jars)
