"""Everything lies where docs/architecture.md says, and no file knows the machine it came from."""

import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, files

SERVICES = ("ledger", "rewards", "notify")
PARTS = ("README.md", "__main__.py", "api.py", "application.py", "domain", "settings.py")
TESTS = [
    path
    for level in ("unit", "contract", "integration", "e2e")
    for path in files(ROOT / "tests" / level, "*.py")
]

REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|repo\d?\.maven|maven\.org|npmjs\.(?:org|com)|crates\.io"
    r"|proxy\.golang\.org|deb\.debian\.org|ghcr\.io|quay\.io|--(?:extra-)?index-url|--find-(?:links)"
)
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(?:home|root|tmp|Users|work)/\w")
SLEEPS = re.compile(r"\b(?:time|asyncio)\.sleep\((?!0\))")
MOCKS = re.compile(r"^(?:from|import) (?:unittest|mock|pytest_mock)\b", re.MULTILINE)


def test_there_are_three_services_and_their_runtime() -> None:
    packages = {path.parent.name for path in (ROOT / "services").glob("*/__init__.py")}

    assert packages == {*SERVICES, "runtime"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_parts_that_every_service_has(service: str) -> None:
    folder = ROOT / "services" / service

    assert [part for part in PARTS if not (folder / part).exists()] == []


def test_no_file_names_a_registry_or_a_path_of_somebodys_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in files()
        for pattern in (REGISTRIES, MACHINE_PATHS)
        for match in pattern.finditer(path.read_text(errors="replace"))
    ]

    assert found == []


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_test_neither_sleeps_nor_mocks(path: Path) -> None:
    """Time passes in `tests.support.eventually`; fakes pass the tests of the real thing."""
    source = path.read_text()

    assert not SLEEPS.search(source)
    assert not MOCKS.search(source)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (REGISTRIES, "see pypi" + ".org"),
        (REGISTRIES, "--extra-" + "index-url"),
        (MACHINE_PATHS, "open('/" + "tmp/x')"),
        (SLEEPS, "time." + "sleep(1)"),
        (SLEEPS, "await asyncio." + "sleep(0.1)"),
        (MOCKS, "from " + "unittest import mock"),
    ],
)
def test_each_pattern_finds_what_it_forbids(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


@pytest.mark.parametrize(
    "text", ["https://example.com/tmp/x", "${HOME}/work/x", "asyncio.sleep(0)"]
)
def test_no_pattern_finds_what_is_allowed(text: str) -> None:
    assert not any(each.search(text) for each in (REGISTRIES, MACHINE_PATHS, SLEEPS, MOCKS))
