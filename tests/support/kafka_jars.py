"""Apache Kafka as jars: fetched once into the user's cache, each checked against its SHA-512.

The list in `kafka-jars.lock` is what `kafka_2.13` needs at run time, plus `slf4j-simple`, so that
a broker that does not start says why. Beside the jars lies an archive of Kafka's classes as Java
has them after one start: with it a broker starts with a third of the work.
"""

import contextlib
import fcntl
import functools
import hashlib
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from maven_artifact import Artifact, Downloader, RequestException
from rich.console import Console
from rich.progress import track

KAFKA_VERSION = "4.3.1"
LOCK = Path(__file__).with_name("kafka-jars.lock")
FETCH_ATTEMPTS_MAX = 3
FETCH_TIMEOUT_S = 60
FETCHES_AT_ONCE = 4


class JarsMissing(Exception):
    """Kafka is not in the cache and could not be fetched, or is not what the lock file says."""


class Jar(NamedTuple):
    """One line of the lock file."""

    coordinates: str  # group:artifact:version
    sha512: str

    @property
    def file_name(self) -> str:
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"

    def is_in(self, folder: Path) -> bool:
        return self.matches(folder / self.file_name)

    def matches(self, path: Path) -> bool:
        return path.exists() and hashlib.sha512(path.read_bytes()).hexdigest() == self.sha512


def locked_jars() -> list[Jar]:
    return [Jar(*line.split()) for line in LOCK.read_text().splitlines()]


@contextlib.contextmanager
def kafka_folder() -> Iterator[Path]:
    """The folder that holds the jars, made complete, and ours alone while the block runs."""
    content = hashlib.sha512(LOCK.read_bytes()).hexdigest()[:12]
    folder = cache_folder() / f"kafka-{KAFKA_VERSION}-{content}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [jar for jar in locked_jars() if not jar.is_in(folder)]
        if missing:
            fetch(missing, folder)
        yield folder


def cache_folder() -> Path:
    """The user's cache; a user without one keeps it in the project."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    with contextlib.suppress(OSError, RuntimeError):
        folder = (named if named.is_absolute() else Path.home() / ".cache") / "stampbook"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    folder = Path(__file__).parents[2] / "build" / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fetch(jars: list[Jar], folder: Path) -> None:
    console = Console(stderr=True)
    console.print(f"Fetching Apache Kafka {KAFKA_VERSION} ({len(jars)} jar(s)); this happens once.")
    # The client says on standard output what it does; we show progress instead.
    with contextlib.redirect_stdout(io.StringIO()), ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
        fetched = pool.map(lambda jar: fetch_one(jar, folder), jars)
        for _ in track(fetched, "Kafka", total=len(jars), console=console):
            pass


def fetch_one(jar: Jar, folder: Path) -> None:
    """Fetch beside the goal and move it there when it is whole, so that a crash leaves no half."""
    partial = folder / f"{jar.file_name}.partial"
    for attempt in range(1, FETCH_ATTEMPTS_MAX + 1):
        try:
            download(jar, partial)
        except (RequestException, OSError) as error:
            if attempt == FETCH_ATTEMPTS_MAX:
                message = f"{jar.coordinates} could not be fetched: {error}"
                raise JarsMissing(message) from error
        else:
            break
    if not jar.matches(partial):
        partial.unlink()
        message = f"{jar.coordinates} is not what kafka-jars.lock says it is"
        raise JarsMissing(message)
    partial.replace(folder / jar.file_name)


def download(jar: Jar, path: Path) -> None:
    downloader = Downloader()
    # The client sets no time limit of its own.
    downloader.requestor.request = functools.partial(
        downloader.requestor.request, timeout=FETCH_TIMEOUT_S
    )
    group, artifact, version = jar.coordinates.split(":")
    downloader.download(Artifact(group, artifact, version), filename=str(path))
