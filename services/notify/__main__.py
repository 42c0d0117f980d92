"""The roles of notify as processes: ``python -m services.notify api|projector|dispatcher``."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI

from services.notify.api import TITLE, routes
from services.notify.consumer import projector
from services.notify.replayer import Replayer
from services.notify.roles import dispatcher, use_cases
from services.notify.settings import NotifySettings
from services.runtime.auth import RemoteKeys
from services.runtime.clock import utc_now
from services.runtime.database import Database, open_database
from services.runtime.footing import standing, watch
from services.runtime.health import Health
from services.runtime.migrations import check, migrate
from services.runtime.ownership import Ownership
from services.runtime.roles import Run, run_api, run_role, supervise
from services.runtime.web import application

PACKAGE = "services.notify"
USAGE = "usage: python -m services.notify api|projector|dispatcher"


def _api(settings: NotifySettings) -> FastAPI:
    """The API needs no stream."""
    database = _migrated(settings)
    keys = RemoteKeys(settings.ledger_url, utc_now)
    health = Health()
    health.add("notify-store", partial(_store, database))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with closing(database):
            yield
            await keys.close()

    notify = use_cases(database, utc_now, allow_loopback=settings.allow_loopback)
    routers = [routes(notify, keys)]
    return application(TITLE, version("stampbook"), routers, lifespan=lifespan, health=health)


def _projector(settings: NotifySettings, health: Health, stop: threading.Event) -> None:
    """Projector and replayer: both read the topic, so they are one process."""
    with standing(settings, PACKAGE, clock=utc_now) as footing:
        live = projector(footing, page_size_max=settings.page_size_max)
        watch(health, footing, PACKAGE, role="projector", lag=live.lag)
        parts = {"projector": live.run, "replayer": Replayer(footing).run}
        with ThreadPoolExecutor(len(parts)) as pool:
            ends = [pool.submit(_part, run, stop, role=role) for role, run in parts.items()]
        if not all(end.result() for end in ends):
            raise RuntimeError("a part of this role failed; the log says why")


def _part(run: Run, stop: threading.Event, *, role: str) -> bool:
    """Each part waits by itself for stores that are away; when one ends, so does the other."""
    try:
        return supervise(run, stop, role=role)
    finally:
        stop.set()


def _dispatcher(settings: NotifySettings, health: Health, stop: threading.Event) -> None:
    """The dispatcher needs no stream: what is queued is sent while it is away."""
    with closing(_migrated(settings)) as database:
        health.add("notify-store", partial(_store, database))
        ownership = Ownership(
            database,
            utc_now,
            owner=settings.instance or f"{socket.gethostname()}/{os.getpid()}",
            lease=timedelta(seconds=settings.lease_s),
        )
        dispatcher(database, ownership, utc_now, settings)(stop)


def _migrated(settings: NotifySettings) -> Database:
    database = open_database(settings.database_url)
    try:
        migrate(database, PACKAGE)
    except BaseException:
        database.close()
        raise
    return database


def _store(database: Database) -> str | None:
    wrong = check(database, PACKAGE)
    if wrong:
        raise RuntimeError(wrong)
    return None


def main(arguments: list[str]) -> int:
    """Be one role until told to stop."""
    roles = {"projector": _projector, "dispatcher": _dispatcher}
    match arguments:
        case ["api"]:
            settings = NotifySettings()
            return run_api(partial(_api, settings), service="notify", settings=settings)
        case [role] if role in roles:
            settings, health = NotifySettings(), Health()
            run = partial(roles[role], settings, health)
            return run_role(run, service="notify", role=role, settings=settings, health=health)
        case _:
            sys.stderr.write(USAGE + "\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
