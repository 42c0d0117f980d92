"""Makes `.venv` and fills it with locked packages: `environment.py run` or `environment.py test`.

Standard library only, because it runs before anything is installed. Every package is checked
against the hash in its lock file. A stamp remembers what was installed, so that a second call
asks no network, and a file lock lets two calls at once share the work.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON_MIN = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCKS = {"run": ROOT / "requirements" / "run.lock", "test": ROOT / "requirements" / "test.lock"}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in LOCKS:
        print(f"usage: environment.py {'|'.join(LOCKS)}", file=sys.stderr)
        return 2
    kind = arguments[0]
    use_a_python_that_is_new_enough()
    with held(ROOT / "build" / "environment.lock"):
        if not is_current(kind):
            make(kind)
    return 0


def use_a_python_that_is_new_enough() -> None:
    """Replace this process by one on a newer Python if this one is too old."""
    if sys.version_info >= PYTHON_MIN:
        return
    for minor in (14, 13, 12, 11):
        found = shutil.which(f"python3.{minor}")
        if found:
            os.execv(found, [found, __file__, *sys.argv[1:]])
    sys.exit("Stampbook needs Python 3.11 or newer. Name one: make run PYTHON=python3.12")


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the file lock `path`; the kernel lets go of it when this process ends, however."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another call is making the environment: waiting for it.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def stamp(kind: str) -> str:
    """What an environment depends on: its packages, our metadata, the interpreter, its place."""
    digest = hashlib.sha256()
    for path in (LOCKS[kind], ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    digest.update(f"{sys.version_info[:2]} {ROOT}".encode())
    return digest.hexdigest()


def stamp_path(kind: str) -> Path:
    return VENV / f"stampbook-{kind}.stamp"


def is_current(kind: str) -> bool:
    """The test packages contain the run packages, so either stamp will do for a run."""
    return PYTHON.exists() and any(
        stamp_path(each).exists() and stamp_path(each).read_text() == stamp(each)
        for each in {kind, "test"}
    )


def make(kind: str) -> None:
    if not is_usable():
        print(f"Making a virtual environment for Python {sys.version.split()[0]} ...", flush=True)
        create()
    print(f"Installing the locked packages ({kind}); this happens once ...", flush=True)
    pip("install", "--require-hashes", "--no-deps", "--requirement", str(LOCKS[kind]))
    pip("install", "--no-build-isolation", "--no-deps", "--no-index", "--editable", str(ROOT))
    stamp_path(kind).write_text(stamp(kind))
    print("The environment is ready.", flush=True)


def is_usable() -> bool:
    """An environment that was moved, half made, or made by another Python is made anew."""
    try:
        answer = subprocess.run(
            [PYTHON, "-c", "import sys; print(sys.prefix, sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=True,
        )
        made_for = (VENV / "stampbook-place").read_text()
    except (OSError, subprocess.CalledProcessError):
        return False
    return made_for == str(ROOT) and answer.stdout == f"{VENV} {sys.version_info[:2]}\n"


def create() -> None:
    has_pip = importlib.util.find_spec("ensurepip") is not None
    if not has_pip and importlib.util.find_spec("pip") is None:
        sys.exit("This Python can install nothing: add its `venv` package (Debian: python3-venv).")
    arguments = ["--clear"] if has_pip else ["--clear", "--without-pip"]
    subprocess.run([sys.executable, "-m", "venv", *arguments, str(VENV)], check=True)
    (VENV / "stampbook-place").write_text(str(ROOT))


def pip(*arguments: str) -> None:
    """Run the environment's pip; where it has none, this Python's pip on its behalf."""
    command = [str(PYTHON), "-m", "pip"]
    if not (VENV / "bin" / "pip").exists():
        command = [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run([*command, *quiet, *arguments], check=False)
    if done.returncode:
        sys.exit("The packages could not be installed: see pip's message above.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
