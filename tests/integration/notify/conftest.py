"""Notify on a database of each kind, and somebody who receives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from services.runtime.database import Database
from tests.support.databases import BOTH, migrated
from tests.support.post import Post
from tests.support.postgres_server import Postgres
from tests.support.receiver import Receiver

_KEPT = ("schema_versions", "registry")


@pytest.fixture(scope="session")
def postgres_of_notify(postgres: Postgres) -> Iterator[Database]:
    """One for all tests of notify, who find it empty: making another takes as long as a test."""
    url = postgres.fresh_database()
    with migrated(url, "services.notify") as database:
        yield database
    postgres.drop_database(url)


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        with migrated(f"sqlite:///{tmp_path / 'notify.db'}", "services.notify") as database:
            yield database
    else:
        shared: Database = request.getfixturevalue("postgres_of_notify")
        _empty(shared)
        yield shared


def _empty(database: Database) -> None:
    with database.write() as connection:
        found = connection.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in found:
            if table not in _KEPT:
                connection.execute(f"DELETE FROM {table}")


@pytest.fixture
def post(database: Database, tmp_path: Path) -> Iterator[Post]:
    with closing(Post(database, tmp_path)) as post:
        yield post


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with closing(Receiver()) as receiver:
        yield receiver
