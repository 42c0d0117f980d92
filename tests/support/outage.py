"""A database that can be away, or hang."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from services.runtime.database import Connection, Database, DatabaseUnavailable


class Outage:
    """Stands before a database: while it `is_on` it refuses, while it is not `let_go` it hangs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_on = False
        self.let_go = threading.Event()
        self.let_go.set()
        self.asked = 0

    def read(self) -> AbstractContextManager[Connection]:
        return self._reach(self._database.read)

    def write(self, *, is_repeatable: bool = False) -> AbstractContextManager[Connection]:
        return self._reach(partial(self._database.write, is_repeatable=is_repeatable))

    def rehearse(self) -> AbstractContextManager[Connection]:
        return self._reach(self._database.rehearse)

    def listen(self, bell: str, callback: Callable[[], None]) -> Callable[[], None]:
        return self._database.listen(bell, callback)

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _reach(
        self, open_: Callable[[], AbstractContextManager[Connection]]
    ) -> Iterator[Connection]:
        self.asked += 1
        self.let_go.wait()
        if self.is_on:
            raise DatabaseUnavailable("switched off by the test")
        with open_() as connection:
            yield connection
