"""A database of each kind, with the tables of rewards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.database import Database
from tests.support.databases import BOTH, fresh_url, migrated
from tests.support.rewards_desk import RewardsDesk


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return fresh_url(request.param, request, tmp_path)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with migrated(database_url, "services.rewards") as database:
        yield database


@pytest.fixture
def desk(database: Database) -> RewardsDesk:
    return RewardsDesk(database)
