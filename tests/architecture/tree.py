"""The project's own files, as the tests of its rules see them."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MADE_BY_TOOLS = {
    ".coverage",
    ".git",
    ".hypothesis",
    ".import_linter_cache",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".schemathesis",
    ".venv",
    "__pycache__",
    "build",
    "dist",
    "stampbook-data",
}


def files(folder: Path = ROOT, pattern: str = "*") -> Iterator[Path]:
    """Every file below `folder` that a person wrote."""
    for path in sorted(folder.rglob(pattern)):
        if path.is_file() and not MADE_BY_TOOLS.intersection(path.relative_to(folder).parts):
            yield path
