"""Every role of every service in one process, on SQLite files in one folder.

The same parts as in the full installation, put together by hand; what differs is only what they
stand on. This is the one place that knows all services.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path

from fastapi import APIRouter, FastAPI

from services.ledger.api import routes as ledger_routes
from services.ledger.clock import ExpiryClock
from services.ledger.consumer import Writer
from services.ledger.intake import Rules
from services.ledger.keys import StoredKeys
from services.ledger.publisher import relay as ledger_relay
from services.ledger.settings import LedgerSettings
from services.rewards.api import routes as programme_routes
from services.rewards.application import Programmes
from services.rewards.consumer import AwardsProjector
from services.rewards.publisher import relay as rewards_relay
from services.runtime.clock import utc_now
from services.runtime.database import open_database
from services.runtime.footing import Footing, watch
from services.runtime.health import Health
from services.runtime.migrations import migrate
from services.runtime.ownership import Ownership
from services.runtime.settings import RuntimeSettings
from services.runtime.stream import Stream, open_stream
from services.runtime.telemetry import configure_logging, configure_tracing
from services.runtime.web import application, serve
from stampbook.crew import Crew
from stampbook.currencies import AcceptedCurrencies
from stampbook.data_folder import DataFolder
from stampbook.failures import FOUND, OK
from stampbook.programme_file import adopt

_OWNER = "embedded"  # always the same: after a crash it need not wait for its own leases
_LEASE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What is up, for whoever wants to talk to it."""

    url: str
    folder: Path
    key: str
    key_file: Path | None
    stop: Callable[[int], None]  # ends the process with this exit code


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What `up` was asked for."""

    programme: Path | None = None  # a document that is to hold from now on
    allow_loopback: bool = False  # let webhooks go to this very machine
    log_to_file: bool = False  # in the folder: the terminal is needed for something else


class _Ending:
    """How the process ends, and who says so."""

    def __init__(self) -> None:
        self.code = OK

    def end(self, code: int) -> None:
        """Stop as SIGTERM does, with this exit code."""
        self.code = code
        os.kill(os.getpid(), signal.SIGTERM)

    def fail(self) -> None:
        """A role cannot go on; the log says why."""
        self.end(FOUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """Where a service is put together."""

    footing: Footing
    keys: StoredKeys
    health: Health
    crew: Crew
    stack: ExitStack


def run(
    folder: DataFolder,
    door: socket.socket,
    wish: Wish,
    *,
    when_up: Callable[[Installation], None],
) -> int:
    """Be up until SIGTERM or Ctrl-C; returns the exit code.

    Args:
        folder: held by the caller.
        door: the socket to answer on.
        wish: what else was asked for.
        when_up: is called on a thread of its own as soon as requests are answered.
    """
    ending = _Ending()
    with ExitStack() as stack:
        settings = LedgerSettings(
            database_url=folder.database("ledger"), stream_url=folder.stream()
        )
        _configure(folder, wish, settings, stack)
        key, key_file = folder.operator_key(settings.admin_key)
        stream = stack.enter_context(closing(open_stream(folder.stream())))
        stream.ensure_topics()
        ledger, rewards = (
            _footing(folder, service, stream, stack) for service in ("ledger", "rewards")
        )
        keys = StoredKeys(ledger.database, utc_now, operator_key=key)
        programmes = Programmes(rewards.database, utc_now)
        if wish.programme is not None:
            adopt(programmes, wish.programme)
        health = Health()
        deciders, couriers = Crew(on_failure=ending.fail), Crew(on_failure=ending.fail)
        site = partial(_Site, keys=keys, health=health, stack=stack)
        routers = [
            *_ledger(site(footing=ledger, crew=deciders), settings, programmes),
            *_rewards(site(footing=rewards, crew=deciders), programmes),
        ]
        up = Installation(
            url=_url(door), folder=folder.path, key=key, key_file=key_file, stop=ending.end
        )
        lifespan = _lifespan([deciders, couriers], couriers, partial(when_up, up))
        app = application(
            "Stampbook", version("stampbook"), routers, lifespan=lifespan, health=health
        )
        try:
            host, port = door.getsockname()[:2]
            serve(app, host, port, sockets=[door])
        finally:
            couriers.dismiss()
            deciders.dismiss()
    return ending.code


def _configure(folder: DataFolder, wish: Wish, settings: RuntimeSettings, stack: ExitStack) -> None:
    out = None
    if wish.log_to_file:
        out = stack.enter_context((folder.path / "stampbook.log").open("a", encoding="utf-8"))
    configure_logging("stampbook", "embedded", level=settings.log_level, out=out)
    configure_tracing("stampbook", "embedded", endpoint=settings.otlp_endpoint)


def _footing(folder: DataFolder, service: str, stream: Stream, stack: ExitStack) -> Footing:
    """Its own store, with the tables of this release; the stream is everybody's."""
    database = stack.enter_context(closing(open_database(folder.database(service))))
    migrate(database, f"services.{service}")
    ownership = Ownership(database, utc_now, owner=_OWNER, lease=timedelta(seconds=_LEASE_S))
    return Footing(database=database, stream=stream, ownership=ownership, clock=utc_now)


def _ledger(site: _Site, settings: LedgerSettings, programmes: Programmes) -> list[APIRouter]:
    footing = site.footing
    accepts = settings.accepts if settings.currencies else AcceptedCurrencies(programmes.currencies)
    rules = Rules(is_accepted_currency=accepts, clock=utc_now)
    writer = Writer(footing, rules=rules, batch_size_max=settings.batch_size_max)
    relay = ledger_relay(footing)
    site.crew.hire("ledger-writer", writer.run)
    site.crew.hire("ledger-relay", relay.run)
    site.crew.hire("ledger-clock", ExpiryClock(footing, rules=rules).run)
    for role, lag in (("ledger-writer", writer.lag), ("ledger-relay", relay.lag)):
        watch(site.health, footing, "services.ledger", role=role, lag=lag)
    producer = site.stack.enter_context(closing(footing.stream.producer()))
    return [
        ledger_routes(database=footing.database, producer=producer, keys=site.keys, rules=rules)
    ]


def _rewards(site: _Site, programmes: Programmes) -> list[APIRouter]:
    projector = AwardsProjector(site.footing)
    relay = rewards_relay(site.footing)
    site.crew.hire("rewards-projector", projector.run)
    site.crew.hire("rewards-relay", relay.run)
    for role, lag in (("rewards-projector", projector.lag), ("rewards-relay", relay.lag)):
        watch(site.health, site.footing, "services.rewards", role=role, lag=lag)
    return [programme_routes(programmes, site.keys)]


def _lifespan(
    crews: list[Crew], couriers: Crew, when_up: Callable[[], None]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Everybody works while the app serves."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for crew in crews:
            crew.begin()
        threading.Thread(target=when_up, name="when-up", daemon=True).start()
        farewell = asyncio.create_task(_let_go_early(app, couriers))
        yield
        farewell.cancel()

    return lifespan


async def _let_go_early(app: FastAPI, couriers: Crew) -> None:
    """Requests under way still need who decides them, but nobody needs more webhooks now."""
    await app.state.stopping.wait()
    couriers.ask_to_stop()


def _url(door: socket.socket) -> str:
    host, port = door.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - shown, not bound
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
