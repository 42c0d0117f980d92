"""Every role of every service in one process, on SQLite files in one folder.

The same parts as in the full installation, put together by hand; what differs is only what they
stand on. This is the one place that knows all services.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path

from fastapi import APIRouter, FastAPI

from services.ledger.keys import StoredKeys
from services.ledger.settings import LedgerSettings
from services.notify.settings import NotifySettings
from services.rewards.application import Programmes
from services.rewards.settings import RewardsSettings
from services.runtime.clock import utc_now
from services.runtime.database import open_database
from services.runtime.footing import Footing
from services.runtime.health import Health
from services.runtime.migrations import migrate
from services.runtime.ownership import Ownership
from services.runtime.settings import RuntimeSettings
from services.runtime.stream import Stream, open_stream
from services.runtime.telemetry import configure_logging, configure_tracing
from services.runtime.web import application, serve
from stampbook.crew import Crew
from stampbook.data_folder import DataFolder
from stampbook.embedded_services import Site, ledger, notify, rewards
from stampbook.failures import FOUND, OK
from stampbook.programme_file import adopt

_OWNER = "embedded"  # always the same: after a crash it need not wait for its own leases
_LEASE_S = 5.0
_PATIENCE_S = 1.5  # with the grace of open requests, all in all less than 5 s
_LOG = logging.getLogger(__name__)


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
class _Parts:
    """All services, put together, and who does their work."""

    routers: list[APIRouter]
    health: Health
    deciders: Crew
    couriers: Crew  # nobody waits for them: they may stop first


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
    settings = _ledger_settings(folder)
    key, key_file = folder.operator_key(settings.admin_key)
    up = Installation(
        url=_url(door), folder=folder.path, key=key, key_file=key_file, stop=ending.end
    )
    with ExitStack() as stack:
        _configure(folder, wish, settings, stack)
        parts = _compose(folder, wish, settings, up, ending, stack)
        lifespan = _lifespan(parts, partial(_tell, when_up, up))
        app = application(
            "Stampbook", version("stampbook"), parts.routers, lifespan=lifespan, health=parts.health
        )
        host, port = door.getsockname()[:2]
        try:
            serve(app, host, port, sockets=[door])
        finally:
            until_s = time.monotonic() + _PATIENCE_S
            parts.deciders.ask_to_stop()
            parts.couriers.dismiss(until_s=until_s)
            parts.deciders.dismiss(until_s=until_s)
    return ending.code


def _compose(
    folder: DataFolder,
    wish: Wish,
    settings: LedgerSettings,
    up: Installation,
    ending: _Ending,
    stack: ExitStack,
) -> _Parts:
    """Every service on its own store; the stream is everybody's."""
    stream = stack.enter_context(closing(open_stream(folder.stream())))
    stream.ensure_topics()
    footings = {
        service: _footing(folder, service, stream, stack)
        for service in ("ledger", "rewards", "notify")
    }
    programmes = Programmes(footings["rewards"].database, utc_now)
    if wish.programme is not None:
        adopt(programmes, wish.programme)
    health = Health()
    deciders, couriers = Crew(on_failure=ending.fail), Crew(on_failure=ending.fail)
    keys = StoredKeys(footings["ledger"].database, utc_now, operator_key=up.key)
    site = partial(Site, keys=keys, health=health, stack=stack)
    routers = [
        *ledger(site(footing=footings["ledger"], crew=deciders), settings, programmes),
        *rewards(
            site(footing=footings["rewards"], crew=deciders), _rewards_settings(folder), programmes
        ),
        *notify(site(footing=footings["notify"], crew=couriers), _notify_settings(folder, wish)),
    ]
    return _Parts(routers=routers, health=health, deciders=deciders, couriers=couriers)


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


def _ledger_settings(folder: DataFolder) -> LedgerSettings:
    settings = LedgerSettings(database_url=folder.database("ledger"), stream_url=folder.stream())
    files = {
        "log_key_file": settings.log_key_file or folder.path / "log.key",
        "document_key_file": settings.document_key_file or folder.path / "documents.key",
    }
    return settings.model_copy(update=files)


def _rewards_settings(folder: DataFolder) -> RewardsSettings:
    return RewardsSettings(database_url=folder.database("rewards"), stream_url=folder.stream())


def _notify_settings(folder: DataFolder, wish: Wish) -> NotifySettings:
    settings = NotifySettings(database_url=folder.database("notify"), stream_url=folder.stream())
    may_loop = settings.allow_loopback or wish.allow_loopback
    return settings.model_copy(update={"allow_loopback": may_loop})


def _lifespan(
    parts: _Parts, when_up: Callable[[], None]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Everybody works while the app serves."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        parts.deciders.begin()
        parts.couriers.begin()
        threading.Thread(target=when_up, name="when-up", daemon=True).start()
        farewell = asyncio.create_task(_let_go_early(app, parts.couriers))
        yield
        farewell.cancel()

    return lifespan


def _tell(when_up: Callable[[Installation], None], up: Installation) -> None:
    try:
        when_up(up)
    except Exception:
        # Whoever waits for it would wait for ever.
        _LOG.exception("what was to be done when up has failed")
        up.stop(FOUND)


async def _let_go_early(app: FastAPI, couriers: Crew) -> None:
    """Requests under way still need who decides them, but nobody needs more webhooks now."""
    await app.state.stopping.wait()
    couriers.ask_to_stop()


def _url(door: socket.socket) -> str:
    host, port = door.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - shown, not bound
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
