"""Notify on a database of each kind, and somebody who receives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from services.runtime.database import Database
from tests.support.databases import BOTH, fresh_url, migrated
from tests.support.post import Post
from tests.support.receiver import Receiver


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = fresh_url(request.param, request, tmp_path)
    with migrated(url, "services.notify") as database:
        yield database


@pytest.fixture
def post(database: Database, tmp_path: Path) -> Iterator[Post]:
    with closing(Post(database, tmp_path)) as post:
        yield post


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with closing(Receiver()) as receiver:
        yield receiver
