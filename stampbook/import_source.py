"""Where an import's commands come from: the lines of a file, a chunk at a time, never all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

CHUNK_LINES_MAX = 500
CHUNK_BYTES_MAX = 4 << 20
LINE_BYTES_MAX = 2 << 20  # a command has at most 1 MiB, which the server judges itself


@dataclass(frozen=True, slots=True)
class Line:
    """One command as it goes into a batch."""

    number: int  # in its file, counted from 1
    raw: bytes  # JSON on one line
    fault: str | None = None  # why it cannot even be sent


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file is read: so many bytes, so many lines."""

    offset: int = 0
    lines: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Commands that are sent together, and where the file goes on after them."""

    lines: tuple[Line, ...]
    end: Place


class Source(Protocol):
    """A file of commands."""

    def lines(self, start: Place) -> Iterator[tuple[Line, Place]]:
        """The commands from ``start`` on, each with the place after it."""


def chunks(source: Source, start: Place) -> Iterator[Chunk]:
    """The commands from ``start`` on, as many together as one request takes."""
    lines: list[Line] = []
    size_bytes = 0
    end = start
    for line, after in source.lines(start):
        if lines and (
            len(lines) == CHUNK_LINES_MAX or size_bytes + len(line.raw) > CHUNK_BYTES_MAX
        ):
            yield Chunk(tuple(lines), end)
            lines, size_bytes = [], 0
        lines.append(line)
        size_bytes += len(line.raw)
        end = after
    if lines:
        yield Chunk(tuple(lines), end)


class NdjsonSource:
    """A file that holds commands just as `POST /v1/batches` takes them.

    Args:
        path: the file.
        type_: what a line is that does not say so itself.
    """

    def __init__(self, path: Path, type_: str | None = None) -> None:
        self._path = path
        self._type = type_

    def lines(self, start: Place) -> Iterator[tuple[Line, Place]]:
        """As in `Source`; empty lines are left out."""
        offset, number = start.offset, start.lines
        with self._path.open("rb") as file:
            file.seek(offset)
            while raw := file.readline(LINE_BYTES_MAX):
                number += 1
                offset += len(raw)
                fault = None
                if not raw.endswith(b"\n") and len(raw) == LINE_BYTES_MAX:
                    fault = f"the line is longer than {LINE_BYTES_MAX} bytes"
                    while (rest := file.readline(LINE_BYTES_MAX)) and rest:
                        offset += len(rest)
                        if rest.endswith(b"\n"):
                            break
                    raw = raw[:200]
                raw = raw.strip()
                if raw:
                    yield Line(number, self._typed(raw), fault), Place(offset, number)

    def _typed(self, raw: bytes) -> bytes:
        """A line that does not say what it is gets the type that was given for all."""
        if self._type is None:
            return raw
        try:
            command = msgspec.json.decode(raw)
        except msgspec.DecodeError:
            return raw  # the server says what is wrong with it
        if not isinstance(command, dict) or "type" in command:
            return raw
        return msgspec.json.encode({"type": self._type, **command})
