"""Database schemas that move forward on start: numbered SQL files, applied once each."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from services.runtime.database import Conflict, Connection, Database

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_VERSIONS = """
CREATE TABLE IF NOT EXISTS schema_versions (
    package TEXT NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (package, version)
)
"""
RUNTIME = "services.runtime"


class SchemaTooNew(Exception):
    """The database was written by a newer release; this one must not touch it."""


def migrate(database: Database, package: str) -> None:
    """Bring the runtime's and the package's tables up to this release.

    Safe to call from several processes at once: one applies, the others wait.

    Raises:
        SchemaTooNew: a version is recorded that this release does not have.
    """
    try:
        with database.write() as connection:
            connection.execute(_VERSIONS)
    except Conflict:
        pass  # Another process made the table in the same instant.
    for part in (RUNTIME, package):
        with database.write() as connection:
            _apply(connection, part)


def check(database: Database, package: str) -> str | None:
    """What is wrong with the schema's version, or None."""
    with database.read() as connection:
        for part in (RUNTIME, package):
            newest = max(_scripts(part), default=0)
            [(found,)] = connection.rows(
                "SELECT coalesce(max(version), 0) FROM schema_versions WHERE package = :package",
                {"package": part},
            )
            if found != newest:
                return f"{part}: schema version {found}, this release needs {newest}"
    return None


def _apply(connection: Connection, package: str) -> None:
    # Touching one row first makes a second process wait until this one has committed.
    connection.execute(
        "INSERT INTO schema_versions VALUES (:package, 0) "
        "ON CONFLICT (package, version) DO UPDATE SET version = 0",
        {"package": package},
    )
    done = {
        version
        for (version,) in connection.rows(
            "SELECT version FROM schema_versions WHERE package = :package", {"package": package}
        )
    }
    scripts = _scripts(package)
    if max(done) > max(scripts, default=0):
        raise SchemaTooNew(
            f"{package}: the database is at version {max(done)}, this release knows "
            f"{max(scripts, default=0)}; start the newer release again"
        )
    for version in sorted(scripts.keys() - done):
        for statement in _statements(scripts[version].read_text("utf-8")):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO schema_versions VALUES (:package, :version)",
            {"package": package, "version": version},
        )


def _scripts(package: str) -> dict[int, Traversable]:
    """``0001_name.sql`` and so on, by number."""
    folder = files(package) / "migrations"
    return {
        int(path.name.partition("_")[0]): path
        for path in folder.iterdir()
        if path.name.endswith(".sql")
    }


def _statements(script: str) -> list[str]:
    """The statements of a script; comments may hold anything but are left out."""
    lines = (line.partition("--")[0].rstrip() for line in script.splitlines())
    return [part.strip() for part in "\n".join(lines).split(";") if part.strip()]
