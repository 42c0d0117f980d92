"""The embedded installation: `stampbook up`, one process, on SQLite in one folder."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.installation import GROCER, IMPATIENT, KEY, Installation, answers, our_code
from tests.support.server import Server, free_port
from tests.support.stack import watched_folder
from tests.support.watchdog import Watchdog

ROLE = "embedded"


@contextmanager
def running_embedded(parent: Path | None = None, *options: str) -> Iterator[Installation]:
    """One process in a folder of its own, which goes with it."""
    with watched_folder(parent) as (folder, watchdog):
        server, url = embedded_server(folder, watchdog, *options)
        try:
            server.start()
            yield Installation(name="embedded", url=url, key=KEY, processes={ROLE: server})
        finally:
            server.stop()


def embedded_server(folder: Path, watchdog: Watchdog, *options: str) -> tuple[Server, str]:
    """The process, not started yet, and its address; its data lie in `folder / "data"`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    up = ("up", "--data", "data", "--port", str(port), "--programme", str(GROCER))
    server = Server(
        (sys.executable, "-m", "stampbook", *up, "--allow-loopback", *options),
        folder=folder,
        is_ready=lambda: answers(f"{url}/healthz"),
        watchdog=watchdog,
        environment={**our_code(), "STAMPBOOK_ADMIN_KEY": KEY, **IMPATIENT},
    )
    return server, url
