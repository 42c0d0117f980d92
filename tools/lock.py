"""Writes `requirements/*.lock` from `pyproject.toml`: every package with its hashes.

Both hold for Linux and macOS on every Python that we support. The run packages are the test
packages' subset, at the same versions. Options go to the resolver: `--upgrade` for newer versions.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESOLVE = (
    *("uv", "pip", "compile", "pyproject.toml", "--quiet", "--universal"),
    *("--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate"),
    *("--extra", "otel", "--group", "build"),
)


def main(options: list[str]) -> None:
    test, run = "requirements/test.lock", "requirements/run.lock"
    resolve("--group", "dev", "--output-file", test, *options)
    resolve("--constraint", test, "--output-file", run, *options)


def resolve(*options: str) -> None:
    subprocess.run([sys.executable, "-m", *RESOLVE, *options], cwd=ROOT, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
