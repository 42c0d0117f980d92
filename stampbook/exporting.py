"""`stampbook export`: the ledger as files, in segments that are never written again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain as chain_of
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
import typer

from stampbook.archive import Archive, Beside, Manifest, NewFile, Segment
from stampbook.client import Client
from stampbook.failures import Failure, Misused
from stampbook.reading import Data, DatabaseUrl, Tick, bar, ledger
from stampbook.session import Session, connected

_TICK_EVERY = 1_000
_LIMIT_MAX = 1_000  # the door's
_STOPPED = "The server stopped before it had told everything; run the same again."
_ANOTHER = "holds the log of another ledger; export into a folder of its own."


class Source(Protocol):
    """Where a ledger is taken from."""

    def events(self, after: int, limit: int | None = None) -> Iterator[bytes]:
        """The events after a position, up to the end of the log."""

    def beside(self) -> Iterator[bytes]:
        """First where the log ends now, then what does not follow from it."""


class _End(msgspec.Struct):
    position: int
    chain: str
    root: str


class _Row(msgspec.Struct):
    table: str = ""
    row: msgspec.Raw = msgspec.Raw()
    rows: int | None = None  # of the last line: how many there were


@connected
def export(
    session: Session,
    *,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the files go.")],
    data: Data = None,
    database: DatabaseUrl = None,
    segment_events: Annotated[
        int, typer.Option(min=1, help="Events a file holds at most.")
    ] = 100_000,
) -> None:
    """Write the log into files, byte by byte, and beside it what does not follow from it.

    Interrupted, it goes on where it was; done again, it adds what has happened since. The files
    hold hashes of keys, and what shops sent: keep them as the ledger itself.
    """
    os.umask(0o077)
    folder.mkdir(parents=True, exist_ok=True)
    archive = Archive(folder)
    with _source(session, data, database) as source, bar(session, "Exporting") as tick:
        manifest = _Export(archive, source, segment_events, tick).run()
    size = sum(segment.bytes for segment in manifest.segments)
    if session.as_json:
        said = {"position": manifest.position, "chain": manifest.chain, "root": manifest.root}
        session.result(said | {"segments": len(manifest.segments), "bytes": size})
    else:
        session.tell(
            f"Exported {manifest.position:,} events, {size:,} bytes in {len(manifest.segments)} "
            f"segments, to {folder}.\nChain {manifest.chain or 'none'}, root {manifest.root}."
        )


@dataclass(frozen=True, slots=True)
class _Export:
    archive: Archive
    source: Source
    segment_events: int
    tick: Tick

    def run(self) -> Manifest:
        """Everything up to an instant; the manifest that says so is written last."""
        manifest = self.archive.manifest() or Manifest()
        self._check_same(manifest)
        self._add_segments(manifest, None)
        # The log has grown meanwhile: as far as what lies beside it, it is written too.
        lines = self.source.beside()
        end = msgspec.json.decode(next(lines), type=_End)
        if end.position > manifest.end:
            self._add_segments(manifest, end.position)
        if manifest.end < end.position:
            raise Failure(_STOPPED)
        if (manifest.end, manifest.end_chain.hex()) != (end.position, end.chain):
            raise Failure(f"{self.archive.folder} {_ANOTHER}")
        manifest.beside = self._write_beside(end, lines)
        manifest.position, manifest.chain, manifest.root = end.position, end.chain, end.root
        self.archive.save(manifest)
        self.archive.tidy(manifest)
        return manifest

    def _check_same(self, manifest: Manifest) -> None:
        last = self.archive.last_event(manifest)
        if last is not None and next(self.source.events(manifest.end - 1, 1), None) != last:
            raise Failure(f"{self.archive.folder} {_ANOTHER}")

    def _add_segments(self, manifest: Manifest, until: int | None) -> None:
        """Write segments up to a position, or to the end of the log."""
        count = None if until is None else until - manifest.end
        events = self.source.events(manifest.end, count)
        for first in events:
            segment = self._segment(manifest, first, islice(events, self.segment_events - 1))
            manifest.segments.append(segment)
            self.archive.save(manifest)

    def _segment(self, manifest: Manifest, first: bytes, others: Iterator[bytes]) -> Segment:
        chain, position = manifest.end_chain, manifest.end
        first_position = position + 1
        with self.archive.new_file(f"events-{first_position:012d}.ndjson") as file:
            for event in chain_of((first,), others):
                chain = hashlib.sha256(chain + event).digest()
                position += 1
                file.write(event + b"\n")
                if position % _TICK_EVERY == 0:
                    self.tick(position, position)
            name = f"events-{first_position:012d}-{position:012d}.ndjson"
            file.rename(name)
        return Segment(name, first_position, position, file.bytes, file.sha256, chain.hex())

    def _write_beside(self, end: _End, lines: Iterator[bytes]) -> list[Beside]:
        files: dict[str, NewFile] = {}
        rows: dict[str, int] = {}
        count: int | None = None
        with ExitStack() as stack:
            for line in lines:
                found = msgspec.json.decode(line, type=_Row)
                if found.rows is not None:
                    count = found.rows
                    break
                if found.table not in files:
                    name = _beside(end, found.table)
                    files[found.table] = stack.enter_context(self.archive.new_file(name))
                files[found.table].write(bytes(found.row) + b"\n")
                rows[found.table] = rows.get(found.table, 0) + 1
        if count != sum(rows.values()):
            raise Failure(_STOPPED)
        return [
            Beside(table, _beside(end, table), rows[table], file.sha256)
            for table, file in files.items()
        ]


def _beside(end: _End, table: str) -> str:
    return f"beside-{end.position:012d}-{table}.ndjson"


@dataclass(frozen=True, slots=True)
class _Server:
    client: Client

    def events(self, after: int, limit: int | None = None) -> Iterator[bytes]:
        params = {"after": after}
        if limit is not None and limit <= _LIMIT_MAX:
            params["limit"] = limit
        with self.client.lines("/v1/events", params=params) as lines:
            yield from islice(lines, limit)

    def beside(self) -> Iterator[bytes]:
        with self.client.lines("/v1/export") as lines:
            yield from lines


@dataclass(frozen=True, slots=True)
class _Stopped:
    database: Any

    def events(self, after: int, limit: int | None = None) -> Iterator[bytes]:
        from services.ledger import archive  # noqa: PLC0415  # others start faster without

        yield from islice(archive.events(self.database, after=after), limit)

    def beside(self) -> Iterator[bytes]:
        from services.ledger import archive  # noqa: PLC0415

        yield from archive.beside(self.database)


@contextmanager
def _source(session: Session, data: Path | None, database: str | None) -> Iterator[Source]:
    if data is None and database is None:
        client = session.client()
        # Another's key would be shown a part of the log only.
        if client.get("/v1/keys/self")["role"] != "operator":
            raise Misused("Only the operator's key sees everything that has to be exported.")
        yield _Server(client)
        return
    with ledger(data, database) as opened:
        yield _Stopped(opened)
