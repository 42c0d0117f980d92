"""The one place that starts a real Apache Kafka and a real PostgreSQL.

Tests, the benchmark and the chaos run use it as a context manager; `make stack` runs it as a
program for a developer's shell. Everything comes from locked Python packages and locked jars;
nothing is left behind, however this process ends.
"""

import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.kafka_server import Kafka, new_kafka
from tests.support.postgres_server import Postgres
from tests.support.watchdog import Watchdog

SERVICES = ("ledger", "rewards", "notify")


@contextmanager
def watched_folder(parent: Path | None) -> Iterator[tuple[Path, Watchdog]]:
    """A new folder under `parent` (default: the system's for such things) that will not stay."""
    folder = Path(tempfile.mkdtemp(prefix="stampbook-", dir=parent))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another account
    with closing(Watchdog(folder)) as watchdog:
        yield folder, watchdog


@contextmanager
def running_kafka(parent: Path | None = None) -> Iterator[Kafka]:
    with watched_folder(parent) as (folder, watchdog):
        kafka = new_kafka(folder / "kafka", watchdog)
        try:
            kafka.start()
            yield kafka
        finally:
            kafka.stop()


@contextmanager
def running_postgres(parent: Path | None = None) -> Iterator[Postgres]:
    """PostgreSQL with one database per service."""
    with watched_folder(parent) as (folder, watchdog):
        postgres = Postgres(folder / "postgres", watchdog)
        try:
            postgres.start()
            for service in SERVICES:
                postgres.create_database(service)
            yield postgres
        finally:
            postgres.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running Kafka and a running PostgreSQL, and their addresses."""

    kafka: Kafka
    postgres: Postgres

    @classmethod
    @contextmanager
    def start(cls, parent: Path | None = None) -> Iterator[Self]:
        with running_postgres(parent) as postgres, running_kafka(parent) as kafka:
            yield cls(kafka=kafka, postgres=postgres)

    @property
    def kafka_url(self) -> str:
        return self.kafka.url

    def postgres_url(self, database: str) -> str:
        return self.postgres.url(database)

    def fresh_database(self) -> str:
        """The address of an empty database that nobody else uses."""
        return self.postgres.fresh_database()


def main() -> None:
    """Run the stack until Ctrl-C, and print what a shell needs to use it."""
    # Also where a script started us in the background, with Ctrl-C switched off.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    try:
        with Stack.start() as stack:
            for service in SERVICES:
                prefix = service.upper()
                print(f"export {prefix}_STREAM_URL={stack.kafka_url}")
                print(f"export {prefix}_DATABASE_URL={stack.postgres_url(service)}")
            print("# Kafka and PostgreSQL are up, until Ctrl-C.", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("# Stopped; nothing is left.")


if __name__ == "__main__":
    main()
