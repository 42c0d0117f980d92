"""What every role that runs on its own stands on."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta

from services.runtime.clock import Clock, utc_now
from services.runtime.database import Database, DatabaseUnavailable, open_database
from services.runtime.health import Health, gauge
from services.runtime.migrations import check, migrate
from services.runtime.ownership import Ownership
from services.runtime.settings import RuntimeSettings
from services.runtime.stream import Stream, StreamUnavailable, open_stream

LAG_MAX = 100_000  # records; a role that is farther behind is not ready


@dataclass(frozen=True, slots=True, kw_only=True)
class Footing:
    """A service's store, the stream, the leases held in that store, and the time."""

    database: Database
    stream: Stream
    ownership: Ownership
    clock: Clock


@contextmanager
def standing(
    settings: RuntimeSettings, package: str, *, clock: Clock = utc_now
) -> Iterator[Footing]:
    """Open store and stream, with tables and topics as this release needs them.

    Raises:
        DatabaseUnavailable: the caller tries again later.
        StreamUnavailable: likewise.
        SchemaTooNew: the store belongs to a newer release.
    """
    with (
        closing(open_database(settings.database_url)) as database,
        closing(open_stream(settings.stream_url, partitions=settings.stream_partitions)) as stream,
    ):
        migrate(database, package)
        stream.ensure_topics()
        ownership = Ownership(
            database,
            clock,
            owner=settings.instance or f"{socket.gethostname()}/{os.getpid()}",
            lease=timedelta(seconds=settings.lease_s),
        )
        yield Footing(database=database, stream=stream, ownership=ownership, clock=clock)


def watch(
    health: Health,
    footing: Footing,
    package: str,
    *,
    role: str,
    lag: Callable[[], int] | None = None,
) -> None:
    """Let the process say how it stands: its store, the stream, and how far it is behind."""

    def store() -> str | None:
        wrong = check(footing.database, package)
        if wrong:
            raise RuntimeError(wrong)
        return None

    def stream() -> str | None:
        footing.stream.partition_count("intake")
        return None

    health.add(f"{package.rpartition('.')[2]}-store", store)
    health.add("stream", stream)
    if lag is not None:
        _watch_lag(health, role, lag)


def _watch_lag(health: Health, role: str, lag: Callable[[], int]) -> None:
    def behind() -> str | None:
        records = lag()
        if records > LAG_MAX:
            raise RuntimeError(f"{records} behind, more than {LAG_MAX}")
        return f"{records} behind"

    def measured() -> float:
        try:
            return lag()
        except (DatabaseUnavailable, StreamUnavailable, RuntimeError):
            return float("nan")

    # Measured whenever the metrics are asked for: nobody need ask whether it is ready first.
    level = gauge("lag", "Records or events that a role has not dealt with yet.", ("role",))
    level.labels(role).set_function(measured)
    health.add(f"{role}-lag", behind)
