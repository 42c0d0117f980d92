"""The import rules hold, and each is seen to fail when somebody breaks it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT

SERVICES = ("ledger", "rewards", "notify")
APART = "Services meet only through contracts/"
RUNTIME = "The runtime knows no service"
PURE = "Rules do no I/O"
LAYERS = "Doors call use cases, use cases call rules"

BREACHES = [
    (APART, "services/ledger/application.py", "services.rewards.domain"),
    (APART, "services/rewards/api.py", "services.notify.domain"),
    (APART, "services/notify/domain/__init__.py", "services.ledger.domain"),
    *((RUNTIME, "services/runtime/clock.py", f"services.{service}.domain") for service in SERVICES),
    *((PURE, f"services/{service}/domain/__init__.py", "sqlite3") for service in SERVICES),
    (PURE, "services/ledger/domain/__init__.py", "services.runtime.clock"),
    (PURE, "services/rewards/domain/__init__.py", "pydantic"),
    (PURE, "services/notify/domain/__init__.py", "asyncio"),
    *(
        (LAYERS, f"services/{service}/application.py", f"services.{service}.api")
        for service in SERVICES
    ),
    *(
        (LAYERS, f"services/{service}/domain/__init__.py", f"services.{service}.application")
        for service in SERVICES
    ),
]


def test_the_import_rules_hold() -> None:
    done = lint_imports(ROOT)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("rule", "path", "module"), BREACHES)
def test_a_forbidden_import_breaks_its_rule(
    tmp_path: Path, rule: str, path: str, module: str
) -> None:
    copy_of_the_tree(tmp_path)
    with (tmp_path / path).open("a") as source:
        source.write(f"\nimport {module}\n")

    done = lint_imports(tmp_path)

    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{rule} BROKEN" in done.stdout


def test_no_service_reaches_another_through_the_composition(tmp_path: Path) -> None:
    copy_of_the_tree(tmp_path)
    (tmp_path / "stampbook/bridge.py").write_text("import services.rewards.domain\n")
    with (tmp_path / "services/ledger/api.py").open("a") as source:
        source.write("\nimport stampbook.bridge\n")

    done = lint_imports(tmp_path)

    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{APART} BROKEN" in done.stdout


def copy_of_the_tree(folder: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in ("services", "stampbook"):
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys; from importlinter.cli import lint_imports_command as lint; sys.exit(lint())"
    )
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--no-logo"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
