"""The ledger's own processes on the real stack, as many of each as a test wants."""

import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.full import start_all, stop_all
from tests.support.installation import KEY, answers, our_code
from tests.support.server import Server, free_port
from tests.support.stack import Stack, watched_folder
from tests.support.watchdog import Watchdog


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One process: its name among those that share its work, its role, and its settings."""

    name: str
    role: str
    database_url: str
    settings: Mapping[str, str]


@contextmanager
def running_ledgers(
    wanted: Sequence[Wanted], *, kafka_url: str, parent: Path | None = None
) -> Iterator[dict[str, Server]]:
    """All of them, by name; started one after another, so that the first of a role leads."""
    with watched_folder(parent) as (folder, watchdog):
        servers = {each.name: _server(each, kafka_url, folder, watchdog) for each in wanted}
        try:
            for server in servers.values():
                start_all([server])
            yield servers
        finally:
            for server in servers.values():
                if server.is_running:
                    server.thaw()
            stop_all(list(servers.values()))


def kafka_of_our_own(stack: Stack) -> str:
    """Topics that nobody else uses."""
    return f"{stack.kafka_url}?prefix={secrets.token_hex(4)}-"


def _server(wanted: Wanted, kafka_url: str, folder: Path, watchdog: Watchdog) -> Server:
    port = free_port()
    address = "LEDGER_PORT" if wanted.role == "api" else "LEDGER_HEALTH_PORT"
    (folder / wanted.name).mkdir()
    return Server(
        (sys.executable, "-m", "services.ledger", wanted.role),
        folder=folder / wanted.name,
        is_ready=lambda: answers(f"http://127.0.0.1:{port}/healthz"),
        watchdog=watchdog,
        environment={
            **our_code(),
            "LEDGER_DATABASE_URL": wanted.database_url,
            "LEDGER_STREAM_URL": kafka_url,
            "LEDGER_INSTANCE": wanted.name,
            "LEDGER_CURRENCIES": "USD",
            "STAMPBOOK_ADMIN_KEY": KEY,
            address: str(port),
            **wanted.settings,
        },
    )
