"""The roles of rewards as processes: ``python -m services.rewards api|projector``."""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI

from services.rewards.api import TITLE, routes
from services.rewards.application import Programmes
from services.rewards.consumer import AwardsProjector
from services.rewards.publisher import relay
from services.rewards.settings import RewardsSettings
from services.runtime.auth import RemoteKeys
from services.runtime.clock import utc_now
from services.runtime.database import Database, open_database
from services.runtime.footing import standing, watch
from services.runtime.health import Health
from services.runtime.migrations import check, migrate
from services.runtime.roles import Run, run_api, run_role, supervise
from services.runtime.web import application

PACKAGE = "services.rewards"
USAGE = "usage: python -m services.rewards api|projector"


def _api(settings: RewardsSettings) -> FastAPI:
    """The API needs no stream: programmes can be changed while it is away."""
    database = open_database(settings.database_url)
    try:
        migrate(database, PACKAGE)
    except BaseException:
        database.close()
        raise
    keys = RemoteKeys(settings.ledger_url, utc_now)
    health = Health()
    health.add("rewards-store", partial(_store, database))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with closing(database):
            yield
            await keys.close()

    routers = [routes(Programmes(database, utc_now), keys)]
    return application(TITLE, version("stampbook"), routers, lifespan=lifespan, health=health)


def _store(database: Database) -> str | None:
    wrong = check(database, PACKAGE)
    if wrong:
        raise RuntimeError(wrong)
    return None


def _projector(settings: RewardsSettings, health: Health, stop: threading.Event) -> None:
    """Projector and relay: neither is of use without the other, so they are one process."""
    with standing(settings, PACKAGE, clock=utc_now) as footing:
        projector = AwardsProjector(footing, page_size_max=settings.page_size_max)
        publisher = relay(footing)
        watch(health, footing, PACKAGE, role="projector", lag=projector.lag)
        watch(health, footing, PACKAGE, role="relay", lag=publisher.lag)
        parts = {"projector": projector.run, "relay": publisher.run}
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


def main(arguments: list[str]) -> int:
    """Be one role until told to stop."""
    match arguments:
        case ["api"]:
            settings = RewardsSettings()
            return run_api(partial(_api, settings), service="rewards", settings=settings)
        case ["projector"]:
            settings, health = RewardsSettings(), Health()
            run = partial(_projector, settings, health)
            return run_role(
                run, service="rewards", role="projector", settings=settings, health=health
            )
        case _:
            sys.stderr.write(USAGE + "\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
