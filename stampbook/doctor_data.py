"""The doctor's look at the folder of an embedded installation, running or not."""

from __future__ import annotations

import platform
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from services.runtime import migrations
from services.runtime.clock import parse_rfc3339, utc_now
from services.runtime.database import Database, DatabaseDamaged, DatabaseUnavailable, open_database
from stampbook.data_folder import KEY_FILE, DataFolder, InUse
from stampbook.failures import Misused
from stampbook.finding import Finding

_SERVICES = ("ledger", "rewards", "notify")
_FREE_BYTES_MIN = 1 << 30
_PORT = 8080
_SQLITE_MIN = (3, 35, 0)  # the first with RETURNING; older ones lack more than that
_NEWEST = "SELECT event FROM events ORDER BY position DESC LIMIT 1"


def examine_folder(path: Path) -> Iterator[Finding]:
    """Everything that can be seen in the folder; nothing in it is changed.

    Raises:
        Misused: there is no installation in it.
    """
    if not (path / "ledger.db").is_file():
        raise Misused(f"There is no installation in {path}: {path / 'ledger.db'} does not exist.")
    folder = DataFolder(path)
    yield from _versions()
    yield _use(folder)
    yield _space(folder.path)
    yield _key(folder.path / KEY_FILE)
    for service in _SERVICES:
        yield from _store(folder, service)


def _versions() -> Iterator[Finding]:
    found = sqlite3.sqlite_version_info
    detail = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    if found >= _SQLITE_MIN:
        yield Finding.well("versions", detail)
    else:
        oldest = ".".join(map(str, _SQLITE_MIN))
        yield Finding.ill("versions", detail, f"Use a Python with SQLite {oldest} or newer.")


def _use(folder: DataFolder) -> Finding:
    try:
        with folder.held():
            pass
    except InUse:
        return Finding.well("use", "a server works in it")
    with socket.socket() as probe:
        is_taken = probe.connect_ex(("127.0.0.1", _PORT)) == 0
    if is_taken:
        return Finding.ill(
            "port",
            f"no server works in this folder, and something else answers at port {_PORT}",
            "Start it with another one: stampbook up --port 8090",
        )
    return Finding.well("use", f"no server works in it; port {_PORT} is free")


def _space(path: Path) -> Finding:
    usage = shutil.disk_usage(path)
    detail = f"{usage.free / (1 << 30):.1f} GiB free of {usage.total / (1 << 30):.1f}"
    if usage.free >= _FREE_BYTES_MIN:
        return Finding.well("disk", detail)
    return Finding.ill(
        "disk", detail, "Make room: without it nothing more is recorded. Nothing recorded is lost."
    )


def _key(path: Path) -> Finding:
    if not path.is_file():
        return Finding.well("operator's key", "comes from STAMPBOOK_ADMIN_KEY")
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return Finding.ill(
            "operator's key", f"others can read {path} (mode {mode:o})", f"chmod 600 {path}"
        )
    return Finding.well("operator's key", f"{path}, for its owner only")


def _store(folder: DataFolder, service: str) -> Iterator[Finding]:
    subject = f"store {service}"
    try:
        database = open_database(folder.database(service))
        try:
            yield _schema(database, service)
            yield from _contents(database, service)
        finally:
            database.close()
    except DatabaseDamaged as damage:
        yield Finding.ill(
            subject,
            f"damaged: {damage}",
            "Stop the server, keep a copy, restore the last backup, then stampbook verify --data.",
        )
    except DatabaseUnavailable as error:
        yield Finding.ill(subject, str(error), "Look at the file's owner and at the disk.")


def _schema(database: Database, service: str) -> Finding:
    wrong = migrations.check(database, f"services.{service}")
    if wrong is None:
        return Finding.well(f"store {service}", "opens, and its schema is this release's")
    return Finding.ill(
        f"store {service}", wrong, "Start the newest release once: schemas move forward on start."
    )


def _contents(database: Database, service: str) -> Iterator[Finding]:
    with database.read() as connection:
        [(letters,)] = connection.rows(
            "SELECT count(*) FROM dead_letters WHERE state = :state", {"state": "parked"}
        )
        newest = connection.row(_NEWEST) if service == "ledger" else None
    if letters:
        yield Finding.ill(
            f"dead letters of {service}",
            f"{letters:,} messages could not be used",
            "Start the server, then: stampbook dead-letters list",
        )
    if newest is not None:
        yield _clock(bytes(newest[0]))


def _clock(event: bytes) -> Finding:
    recorded_at = msgspec.json.decode(event)["recordedat"]
    ahead_s = (parse_rfc3339(recorded_at) - utc_now()).total_seconds()
    if ahead_s > 1:
        return Finding.ill(
            "clock",
            f"the newest event is {ahead_s:.0f} s ahead of this machine's clock",
            "Set the clock (NTP) before the server starts again.",
        )
    return Finding.well("clock", f"after the newest event, which is of {recorded_at}")
