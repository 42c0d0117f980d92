"""`stampbook restore`: files of an export, put into an empty ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from stampbook.archive import Archive, Beside, Manifest, Segment
from stampbook.data_folder import DataFolder
from stampbook.failures import Failure, Misused
from stampbook.reading import Tick, bar
from stampbook.session import Session, connected

if TYPE_CHECKING:
    from services.ledger.archive import Restorer
    from services.runtime.eventlog import Head

_EVENTS_PER_PAGE = 10_000  # a commit each


@connected
def restore(
    session: Session,
    *,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the export lies.")],
    data: Annotated[
        Path | None, typer.Option(file_okay=False, help="The new installation's folder.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="The new ledger's database: postgresql://…")
    ] = None,
) -> None:
    """Put an export into an empty ledger; no writer starts on it before that is done.

    Every file is checked before anything of it is written. Interrupted, it goes on where it was.
    """
    if (data is None) == (database is None):
        raise Misused("Name what to restore into: --data DIR, or --database URL.")
    archive = Archive(folder)
    manifest = archive.manifest()
    if manifest is None or manifest.position is None:
        raise Misused(f"{folder} holds no complete export.")
    with _empty(data, database) as restorer, bar(session, "Restoring") as tick:
        _restore(archive, manifest, restorer, tick)
    said = {"position": manifest.position, "chain": manifest.chain, "root": manifest.root}
    if session.as_json:
        session.result(said)
    else:
        session.tell(
            f"Restored {manifest.position:,} events. Chain {manifest.chain or 'none'}, "
            f"root {manifest.root}.\nRun `verify` on it, then start it."
        )


def _restore(archive: Archive, manifest: Manifest, restorer: Restorer, tick: Tick) -> None:
    from services.ledger import archive as ledger  # noqa: PLC0415  # others start faster without
    from services.ledger.replay import Inconsistent  # noqa: PLC0415

    assert manifest.position is not None
    segments = [s for s in manifest.segments if s.last_position <= manifest.position]
    needed: list[Segment | Beside] = [*segments, *manifest.beside]
    for part in needed:
        if not (archive.folder / part.file).is_file():
            raise Failure(f"{archive.folder / part.file} is missing.")
    try:
        head = restorer.begin()
        chain = b""
        for segment in segments:
            archive.check(segment.file, segment.sha256)
            head = _append(archive, segment, chain, restorer, head)
            chain = bytes.fromhex(segment.chain)
            tick(segment.last_position, manifest.position)
        end = ledger.End(manifest.position, manifest.chain, manifest.root)
        restorer.finish(end, _beside(archive, manifest))
    except (ledger.NotEmpty, ledger.Differs, Inconsistent, ValueError) as error:
        raise Failure(str(error)) from None


def _append(
    archive: Archive, segment: Segment, chain: bytes, restorer: Restorer, head: Head
) -> Head:
    """Write what is not there yet of a segment."""
    position = segment.first_position - 1
    events = archive.events(segment)
    for event in islice(events, max(0, head.position - position)):
        position += 1
        chain = hashlib.sha256(chain + event).digest()
        if position == head.position and chain != head.chain:
            raise Failure(f"What was restored before is another log: it differs at {position}.")
    while page := list(islice(events, _EVENTS_PER_PAGE)):
        head = restorer.append(head, page)
    if head.position == segment.last_position and head.chain.hex() != segment.chain:
        raise Failure(f"{archive.folder / segment.file} does not come to the chain it should.")
    return head


def _beside(archive: Archive, manifest: Manifest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for part in manifest.beside:
        archive.check(part.file, part.sha256)
        for line in archive.lines(part.file):
            yield part.table, msgspec.json.decode(line)


@contextmanager
def _empty(data: Path | None, url: str | None) -> Iterator[Restorer]:
    from services.ledger.archive import Restorer  # noqa: PLC0415  # others start faster without
    from services.runtime.database import DatabaseUnavailable, open_database  # noqa: PLC0415
    from services.runtime.migrations import SchemaTooNew, migrate  # noqa: PLC0415

    folder = None if data is None else DataFolder(data)
    try:
        with (
            nullcontext() if folder is None else folder.held(),
            closing(
                open_database(url or "" if folder is None else folder.database("ledger"))
            ) as db,
        ):
            migrate(db, "services.ledger")
            yield Restorer(db)
    except ValueError as error:
        raise Misused(str(error)) from None
    except (DatabaseUnavailable, SchemaTooNew) as error:
        raise Failure(f"The database cannot be used: {error}") from None
