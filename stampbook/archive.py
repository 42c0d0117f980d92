"""A ledger as files: the log in segments that are written once, and what lies beside it.

::

    manifest.json                                     what there is, written last
    events-000000000001-000000100000.ndjson           the very bytes of the events, a line each
    beside-000000123456-outcomes.ndjson               a table that does not follow from the log
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from stampbook.failures import Failure, Misused

FORMAT = "stampbook-export/1"
MANIFEST = "manifest.json"


class Segment(msgspec.Struct, frozen=True):
    """A stretch of the log in one file."""

    file: str
    first_position: int
    last_position: int
    bytes: int
    sha256: str
    chain: str  # the log's chain value at its last position, hex


class Beside(msgspec.Struct, frozen=True):
    """A table in one file."""

    table: str
    file: str
    rows: int
    sha256: str


class Manifest(msgspec.Struct):
    """What an export holds. Only what ``position`` covers is complete; segments may go beyond."""

    format: str = FORMAT
    position: int | None = None  # of the last event; None: the first export was interrupted
    chain: str = ""
    root: str = ""  # of the Merkle tree over the log up to ``position``, hex
    segments: list[Segment] = msgspec.field(default_factory=list)
    beside: list[Beside] = msgspec.field(default_factory=list)

    @property
    def parts(self) -> list[Segment | Beside]:
        """Every file."""
        return [*self.segments, *self.beside]

    @property
    def end(self) -> int:
        """The last position that any segment holds."""
        return self.segments[-1].last_position if self.segments else 0

    @property
    def end_chain(self) -> bytes:
        """The chain value there."""
        return bytes.fromhex(self.segments[-1].chain) if self.segments else b""


class Archive:
    """A folder that holds an export, or is to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def manifest(self) -> Manifest | None:
        """What it holds; None: nothing yet.

        Raises:
            Misused: the folder holds something else.
        """
        path = self.folder / MANIFEST
        if not path.exists():
            return None
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except msgspec.DecodeError as error:
            raise Misused(f"{path} is not the manifest of an export: {error}") from None
        if found.format != FORMAT:
            raise Misused(f"{path} is of format {found.format}; this release reads {FORMAT}")
        return found

    def save(self, manifest: Manifest) -> None:
        """Put it down: what it names has to be there already."""
        raw = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        with self.new_file(MANIFEST) as file:
            file.write(raw + b"\n")

    def new_file(self, name: str) -> NewFile:
        """A file that appears under its name only when it is whole and on the disk."""
        return NewFile(self.folder, name)

    def last_event(self, manifest: Manifest) -> bytes | None:
        """The bytes of the newest event that it holds."""
        if not manifest.segments:
            return None
        *_, last = self.events(manifest.segments[-1])
        return last

    def check(self, file: str, sha256: str) -> None:
        """Make sure of a file before anything of it is used.

        Raises:
            Failure: it is missing or damaged.
        """
        path = self.folder / file
        try:
            with path.open("rb") as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise Failure(f"{path} is missing: {error.strerror}") from None
        if found != sha256:
            raise Failure(f"{path} is damaged: its SHA-256 is {found}, the manifest says {sha256}")

    def events(self, segment: Segment) -> Iterator[bytes]:
        """The events of a segment, in order."""
        yield from self.lines(segment.file)

    def lines(self, file: str) -> Iterator[bytes]:
        """The lines of a file, without their ends."""
        with (self.folder / file).open("rb") as opened:
            for line in opened:
                yield line.removesuffix(b"\n")

    def tidy(self, manifest: Manifest) -> None:
        """Remove what the manifest does not name: leftovers of what was interrupted."""
        named = {part.file for part in manifest.parts}
        for pattern in ("events-*.ndjson*", "beside-*.ndjson*", f"{MANIFEST}.new"):
            for path in self.folder.glob(pattern):
                if path.name not in named:
                    path.unlink()


class NewFile:
    """Written beside its place, and moved there at the end."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._fresh = folder / f"{name}.new"
        self._file = self._fresh.open("wb")
        self._digest = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """Of what was written."""
        return self._digest.hexdigest()

    def write(self, raw: bytes) -> None:
        """Add to it."""
        self._file.write(raw)
        self._digest.update(raw)
        self.bytes += len(raw)

    def rename(self, name: str) -> None:
        """Choose its name anew, while it is written."""
        self._name = name

    def __enter__(self) -> NewFile:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if kind is None:
            self._fresh.rename(self._folder / self._name)
            _sync(self._folder)


def _sync(folder: Path) -> None:
    """A new name is on the disk only when the folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
