"""A database of each kind, with the ledger's tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.database import Database
from tests.support.databases import BOTH, fresh_url, migrated
from tests.support.ledger import Ledger, deciding, idle


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return fresh_url(request.param, request, tmp_path)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with migrated(database_url, "services.ledger") as database:
        yield database


@pytest.fixture
def ledger(database: Database, tmp_path: Path) -> Iterator[Ledger]:
    with deciding(database, tmp_path) as ledger:
        yield ledger


@pytest.fixture
def idle_ledger(database: Database, tmp_path: Path) -> Iterator[Ledger]:
    """Its writer is away."""
    with idle(database, tmp_path) as ledger:
        yield ledger
