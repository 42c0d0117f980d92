"""A small process that outlives its parent by a moment, to leave nothing behind.

However the parent ends, `kill -9` included, the pipe between the two ends with it: then the
watchdog kills the processes it was told of and removes the folder it was given. It runs as a
file, by path, with the standard library alone.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path


class Watchdog:
    """The parent's end."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # who reads our output to its end does not wait for it
            start_new_session=True,  # Ctrl-C is for the parent
        )

    def watch(self, pid: int) -> None:
        self._say(f"+{pid}")

    def forget(self, pid: int) -> None:
        self._say(f"-{pid}")

    def close(self) -> None:
        """Let it kill what is left and remove the folder."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()


def killer_of(pid: int) -> Callable[[], None]:
    """Where the system has process handles, a pid that was given away again is never hit."""
    if hasattr(os, "pidfd_open"):
        handle = os.pidfd_open(pid)
        return lambda: signal.pidfd_send_signal(handle, signal.SIGKILL)
    return lambda: os.kill(pid, signal.SIGKILL)


def watch(lines: Iterable[str], folder: Path) -> None:
    killers: dict[int, Callable[[], None]] = {}
    for line in lines:
        pid = int(line[1:])
        if line.startswith("+"):
            with contextlib.suppress(ProcessLookupError):
                killers[pid] = killer_of(pid)
        else:
            killers.pop(pid, None)
    for kill in killers.values():
        with contextlib.suppress(ProcessLookupError):
            kill()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    watch(sys.stdin, Path(sys.argv[1]))
