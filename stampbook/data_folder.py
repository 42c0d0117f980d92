"""The folder of an embedded installation: who may use it, and the operator's key."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from stampbook.failures import Failure

KEY_FILE = "operator.key"
_LOCK_FILE = "lock"


class InUse(Failure):
    """Another process works in this folder."""


class DataFolder:
    """DIR of `up --data DIR`: a database file for each service, one for the stream, a key."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def database(self, name: str) -> str:
        """The URL of a database in it."""
        return f"sqlite://{self.path / name}.db"

    def stream(self) -> str:
        """The URL of the stream between the services."""
        return f"sqlite://{quote(str(self.path))}/stream.db"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep everybody else out; the kernel lets go of it when this process ends, however.

        Raises:
            InUse: somebody else is in.
        """
        # Keys and secrets of endpoints lie in it: nobody else's business, whoever made the folder.
        os.umask(0o077)
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / _LOCK_FILE).open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUse(self._who(lock.name)) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def operator_key(self, given: str | None) -> tuple[str, Path | None]:
        """The operator's key, and the file it lies in: the one given, or one made here once."""
        if given is not None:
            return given, None
        path = self.path / KEY_FILE
        if not path.exists():
            fresh = path.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            with os.fdopen(
                os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
            ) as file:
                file.write(f"sb_{secrets.token_urlsafe(32)}\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(path)
        return path.read_text("utf-8").strip(), path

    def _who(self, lock: str) -> str:
        pid = Path(lock).read_text("utf-8").strip() or "?"
        return (
            f"{self.path} is in use by another Stampbook (process {pid}).\n"
            "Stop that one first, or name another folder with --data."
        )
