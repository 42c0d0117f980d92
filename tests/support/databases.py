"""Empty databases of both kinds, for tests that must hold on SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from services.runtime.database import Database, open_database
from services.runtime.migrations import migrate

BOTH = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.postgres),
]


def fresh_url(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """The address of an empty database of this kind, for one test."""
    if kind == "sqlite":
        return f"sqlite:///{folder / 'test.db'}"
    url: str = request.getfixturevalue("fresh_postgres")
    return url


@contextmanager
def migrated(url: str, package: str) -> Iterator[Database]:
    """The database with a service's tables; closed at the end."""
    with closing(open_database(url)) as database:
        migrate(database, package)
        yield database
