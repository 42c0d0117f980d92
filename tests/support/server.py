"""A server as a child process: started, killed and stopped by its own pid, and by nothing else."""

import os
import pwd
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from tests.support.watchdog import Watchdog

START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 30
POLL_INTERVAL_S = 0.02


class ServerFailed(Exception):
    """A server ended, or did not answer in time; the message holds the end of its log."""


class Server:
    """One program, which may be killed and started again on the same data."""

    stop_signal = signal.SIGTERM

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path,
        is_ready: Callable[[], bool],
        watchdog: Watchdog,
        account: pwd.struct_passwd | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = command
        self._environment = environment or {}
        self.folder = folder
        self._log = folder / "server.log"
        self._is_ready = is_ready
        self._watchdog = watchdog
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start, and come back when the server answers."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start, and do not wait."""
        assert self._process is None, "it runs already"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env={**plain_environment(), **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us, who then stop it in order
                user=self._account and self._account.pw_uid,
                group=self._account and self._account.pw_gid,
                extra_groups=self._account and [],
            )
        self._watchdog.watch(self._process.pid)

    def wait_until_ready(self) -> None:
        """Come back when the server answers."""
        process = self._running()
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if process.poll() is not None or time.monotonic() > give_up_at:
                self.kill()
                message = f"{Path(self._command[0]).name} did not start:\n{self.last_words()}"
                raise ServerFailed(message)
            time.sleep(POLL_INTERVAL_S)

    def stop(self) -> int | None:
        """Ask it to end in order; kill it if it does not.

        Returns:
            Its exit status; None if it did not run, or had to be killed.
        """
        if self._process is None:
            return None
        self._process.send_signal(self.stop_signal)
        try:
            status = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        self._gone()
        return status

    def kill(self) -> None:
        """Kill it with all its children, as a power cut would, and wait until they are gone."""
        process = psutil.Process(self.pid) if self._running().poll() is None else None
        family = [process, *process.children(recursive=True)] if process else []
        for each in family:
            each.kill()
        self._running().wait(STOP_TIMEOUT_S)
        psutil.wait_procs(family, STOP_TIMEOUT_S)
        self._gone()

    def freeze(self) -> None:
        """Let it stand still, as a machine that swaps or a virtual one that moves."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        self._running().send_signal(signal.SIGCONT)

    def last_words(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-2000:]

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it does not run"
        return self._process

    def _gone(self) -> None:
        self._watchdog.forget(self.pid)
        self._process = None


def plain_environment() -> dict[str, str]:
    """No option of the caller's own Java or PostgreSQL reaches ours; file names are UTF-8."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}


def free_port() -> int:
    """A port that nobody listens on, from below those that the kernel gives to clients.

    From among those, a client that knocks while its server is being restarted may be given the
    server's own port, connect to itself, and keep the server from coming back.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
