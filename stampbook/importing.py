"""`stampbook import`: files of purchases, returns and redemptions, however long."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO
from urllib.parse import quote

import msgspec
import typer

from stampbook.client import Client
from stampbook.failures import FOUND, INTERRUPTED, OK, Misused, Refused
from stampbook.import_bar import Bar
from stampbook.import_csv import CsvSource, read_mapping
from stampbook.import_journal import Counts, Journal, Progress
from stampbook.import_sender import Answer, Interrupted, Sender
from stampbook.import_source import Chunk, Line, NdjsonSource, Source, chunks
from stampbook.session import Session, connected

IN_FLIGHT = 3
_WAITING_MAX = 5_000


class Type(StrEnum):
    """What lines may be."""

    PURCHASE = "purchase"
    RETURN = "return"
    REDEMPTION = "redemption"
    REVERSAL = "reversal"


Files = Annotated[
    list[Path], typer.Argument(metavar="FILE…", exists=True, dir_okay=False, readable=True)
]
MappingFile = Annotated[
    Path | None,
    typer.Option(
        exists=True, dir_okay=False, help="The files are CSV; this says which column means what."
    ),
]
LineType = Annotated[
    Type | None, typer.Option("--type", help="What NDJSON lines are that do not say so.")
]
Merchant = Annotated[str | None, typer.Option(help="Whose they are, if the key is the operator's.")]
State = Annotated[
    Path | None,
    typer.Option(
        file_okay=False, help="Where to keep journals and refused lines; else beside each FILE."
    ),
]


@connected
def import_files(
    session: Session,
    *,
    files: Files,
    mapping: MappingFile = None,
    type_: LineType = None,
    merchant: Merchant = None,
    state: State = None,
) -> int:
    """Send files of purchases, returns and redemptions: NDJSON, or CSV with --mapping.

    Every line counts once however often it is sent: run it again whenever you like. An import that
    was interrupted goes on where it stopped. Lines that are refused are written, with the reasons,
    to FILE.refused.ndjson. Ends with 0, or with 1 if lines were refused.
    """
    sources = [(file, _source(file, mapping, type_)) for file in files]
    client = session.client(merchant=merchant)
    client.request("GET", "/healthz")  # nobody there? then say so at once
    goal = f"{session.url} {merchant or session.merchant} {type_} {_fingerprint(mapping)}"
    total = Counts()
    for file, source in sources:
        work = FileImport(session, client, file, source, goal=goal, state=state or file.parent)
        try:
            counts = work.run()
        except (Interrupted, KeyboardInterrupt):
            session.tell("Interrupted. The same command goes on from here.")
            return INTERRUPTED
        total = total.plus(counts)
    if session.as_json:
        session.result(total.for_programs())
    return FOUND if total.refused else OK


def _source(file: Path, mapping: Path | None, type_: Type | None) -> Source:
    if mapping is not None:
        return CsvSource(file, read_mapping(mapping))
    if file.suffix.lower() == ".csv":
        raise Misused(f"{file} is CSV: name a mapping, such as --mapping grocer-mapping.yaml")
    return NdjsonSource(file, type_)


def _fingerprint(mapping: Path | None) -> str:
    return "" if mapping is None else hashlib.sha256(mapping.read_bytes()).hexdigest()


@dataclass(slots=True)
class _Tally:
    """What a chunk's answers come to."""

    counts: Counts
    refused: list[bytes]
    waiting: list[Line]
    last: tuple[str, str] | None = None

    @classmethod
    def of(cls, lines: Sequence[Line], answers: Sequence[Answer]) -> _Tally:
        tally = cls(Counts(), [], [])
        for line, answer in zip(lines, answers, strict=True):
            if answer.outcome == "recorded":
                tally.counts.repeated += answer.repeated
                tally.counts.recorded += not answer.repeated
                tally.last = (answer.type, answer.id)
            elif answer.outcome == "accepted":
                tally.counts.waiting += 1
                tally.waiting.append(line)
            else:
                tally.counts.refused += 1
                tally.refused.append(_refusal(line, answer))
        return tally


class FileImport:
    """The import of one file."""

    def __init__(
        self,
        session: Session,
        client: Client,
        file: Path,
        source: Source,
        *,
        goal: str,
        state: Path,
    ) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self._session = session
        self._client = client
        self._file = file
        self._source = source
        self._sender = Sender(client)
        self._journal = Journal(state / f"{file.name}.journal.json", data=file, goal=goal)
        self._refused_path = state / f"{file.name}.refused.ndjson"
        self._progress = self._journal.begin()
        self._waiting: list[Line] = []

    def run(self) -> Counts:
        """Send what is not answered yet; returns the counts of the whole file.

        Raises:
            Interrupted: and the journal knows where to go on.
        """
        self._progress = self._resumed() or self._progress
        with (
            self._refused_path.open("ab") as refused,
            Bar(
                self._session.console,
                self._file,
                at=self._progress.offset,
                answered=self._progress.counts.answered,
            ) as bar,
        ):
            refused.truncate(self._progress.refused_bytes)
            try:
                self._send_all(refused, bar)
            finally:
                self._sender.stop()
            self._ask_waiting_again(refused)
        self._journal.finish()
        self._report(bar)
        return self._progress.counts

    def _resumed(self) -> Progress | None:
        """Where an earlier run stopped, if this server still knows what that run had recorded."""
        progress = self._journal.load()
        if progress is None or progress.last is None:
            return None
        type_, id_ = progress.last
        try:
            self._client.get(f"/v1/outcomes/{type_}/{quote(id_)}")
        except Refused:
            return None
        self._session.tell(f"Going on after line {progress.lines:,} of {self._file.name}.")
        return progress

    def _send_all(self, refused: BinaryIO, bar: Bar) -> None:
        """A few requests are under way at once; what they say is noted in the file's order."""
        under_way: deque[tuple[Chunk, Future[list[Answer]]]] = deque()
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            try:
                for chunk in chunks(self._source, self._progress.place):
                    if len(under_way) == IN_FLIGHT:
                        self._note(*under_way.popleft(), refused, bar)
                    under_way.append((chunk, pool.submit(self._answers, chunk.lines)))
                while under_way:
                    self._note(*under_way.popleft(), refused, bar)
            except BaseException:
                self._sender.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _answers(self, lines: Sequence[Line]) -> list[Answer]:
        """From the server; a line that cannot be sent is answered here."""
        sent = iter(self._sender.decide([line for line in lines if line.fault is None]))
        return [_unsendable(line) if line.fault else next(sent) for line in lines]

    def _note(
        self, chunk: Chunk, answers: Future[list[Answer]], refused: BinaryIO, bar: Bar
    ) -> None:
        tally = _Tally.of(chunk.lines, answers.result())
        progress = self._progress
        progress.offset, progress.lines = chunk.end.offset, chunk.end.lines
        self._add(tally, refused)
        self._waiting += tally.waiting[: _WAITING_MAX - len(self._waiting)]
        self._journal.save(progress)
        bar.show(progress.offset, progress.counts)

    def _add(self, tally: _Tally, refused: BinaryIO) -> None:
        refused.writelines(tally.refused)
        refused.flush()
        progress = self._progress
        progress.refused_bytes += sum(map(len, tally.refused))
        progress.counts = progress.counts.plus(tally.counts)
        progress.last = tally.last or progress.last

    def _ask_waiting_again(self, refused: BinaryIO) -> None:
        """A return may have overtaken its purchase; by now both are there."""
        if not self._waiting:
            return
        sender = Sender(self._client)
        for first in range(0, len(self._waiting), 500):
            lines = self._waiting[first : first + 500]
            tally = _Tally.of(lines, sender.decide(lines))
            # What is decided now was recorded by this run, though it was sent once before.
            tally.counts.recorded += tally.counts.repeated
            tally.counts.repeated = 0
            self._progress.counts.waiting -= len(lines)
            self._add(tally, refused)

    def _report(self, bar: Bar) -> None:
        counts = self._progress.counts
        self._session.tell(
            f"{self._file.name}: {counts.recorded:,} recorded, {counts.repeated:,} repeated, "
            f"{counts.refused:,} refused ({bar.rate_per_s():,.0f} a second)"
        )
        if counts.waiting:
            self._session.tell(
                f"Returns that wait for their purchase, up to 30 days: {counts.waiting:,}"
            )
        if counts.refused:
            self._session.tell(f"What was refused, and why: {self._refused_path}")
        else:
            self._refused_path.unlink(missing_ok=True)


def _refusal(line: Line, answer: Answer) -> bytes:
    """A line of the file of refused lines."""
    try:
        command: object = msgspec.json.decode(line.raw)
    except msgspec.DecodeError:
        command = line.raw.decode("utf-8", "replace")
    reason = msgspec.Raw(bytes(answer.raw))
    return msgspec.json.encode({"line": line.number, "reason": reason, "command": command}) + b"\n"


def _unsendable(line: Line) -> Answer:
    assert line.fault is not None
    reason = {"status": 413, "code": "too-large", "detail": line.fault}
    return Answer(code="too-large", status=413, raw=msgspec.Raw(msgspec.json.encode(reason)))
