"""CSV files as commands: a mapping says which column means what.

Rows that follow one another and have the same id are the lines of one command. A cell that does
not look like what it should be is sent as it is, so that the server says what is wrong with it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import yaml

from stampbook.failures import Misused
from stampbook.import_source import LINE_BYTES_MAX, Line, Place

Row = dict[str, str]


class Constant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same on every row."""

    value: str | int


Cell = str | list[str] | Constant  # a column, several columns, or no column at all


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping file, such as examples/grocer-mapping.yaml."""

    command: dict[str, Cell]  # fields of the command, from its first row
    type: Literal["purchase", "return", "redemption", "reversal", "claim", "card"] = "purchase"
    line: dict[str, Cell] = {}  # fields of its lines, one from each row
    attributes: dict[str, str] = {}  # name to column
    time_zone: str | None = None  # of times without an offset
    time_format: str | None = None  # as strptime takes it; left out: ISO 8601
    decimals: int | None = None  # digits after the mark in amounts; left out: they are in cents
    decimal_mark: Literal[".", ","] = "."
    delimiter: str = ","
    encoding: str = "utf-8-sig"

    def columns(self) -> list[str]:
        """Every column it names."""
        cells = [*self.command.values(), *self.line.values(), *self.attributes.values()]
        named: list[str] = []
        for cell in cells:
            if not isinstance(cell, Constant):
                named += [cell] if isinstance(cell, str) else cell
        return named


def read_mapping(path: Path) -> Mapping:
    """The mapping in a YAML file.

    Raises:
        Misused: it is none; the text says what is wrong, and where.
    """
    try:
        mapping = msgspec.convert(yaml.safe_load(path.read_text("utf-8")), Mapping)
        if mapping.time_zone is not None:
            ZoneInfo(mapping.time_zone)
    except OSError as error:
        raise Misused(f"{path}: {error.strerror}") from None
    except ZoneInfoNotFoundError as error:
        raise Misused(f"{path}: time_zone: {error}") from None
    except (msgspec.ValidationError, yaml.YAMLError, ValueError) as error:
        raise Misused(f"{path}: {error}") from None
    if "id" not in mapping.command:
        raise Misused(f"{path}: say under command which column holds the id")
    return mapping


class CsvSource:
    """A CSV file with a header."""

    def __init__(self, path: Path, mapping: Mapping) -> None:
        self._path = path
        self._mapping = mapping
        self._zone = None if mapping.time_zone is None else ZoneInfo(mapping.time_zone)

    def lines(self, start: Place) -> Iterator[tuple[Line, Place]]:
        """One command for each run of rows with the same id.

        Raises:
            Misused: the file does not fit the mapping.
        """
        rows: list[Row] = []
        first = end = start
        for row, before, after in self._rows(start):
            if rows and self._text("id", row) != self._text("id", rows[0]):
                yield self._command(rows, first.lines + 1), end
                rows = []
            if not rows:
                first = before
            rows.append(row)
            end = after
        if rows:
            yield self._command(rows, first.lines + 1), end

    def _rows(self, start: Place) -> Iterator[tuple[Row, Place, Place]]:
        """Each row, with the places before and after it."""
        with _CountedLines(self._path, self._mapping.encoding) as texts:
            reader = csv.reader(texts, delimiter=self._mapping.delimiter, strict=True)
            header = self._header(next(reader, []))
            if start.offset:
                texts.go_to(start)
            before = texts.place
            try:
                for cells in reader:
                    after = texts.place
                    if cells:
                        yield dict(zip(header, cells, strict=False)), before, after
                    before = after
            except (csv.Error, UnicodeDecodeError) as error:
                what_to_do = "name its encoding in the mapping, such as encoding: cp1252"
                hint = f"; {what_to_do}" if isinstance(error, UnicodeDecodeError) else ""
                line = texts.place.lines
                raise Misused(f"{self._path}, line {line}: {error}{hint}") from None

    def _header(self, header: Sequence[str]) -> Sequence[str]:
        missing = sorted({name for name in self._mapping.columns() if name not in header})
        if missing:
            raise Misused(
                f"{self._path} lacks what the mapping names: {', '.join(missing)}\n"
                f"Its columns are: {', '.join(header)}"
            )
        return header

    def _command(self, rows: Sequence[Row], number: int) -> Line:
        command: dict[str, object] = {"type": self._mapping.type}
        command |= self._fields(self._mapping.command, rows[0])
        if self._mapping.line:
            command["lines"] = [
                {"line": str(n), **self._fields(self._mapping.line, row)}
                for n, row in enumerate(rows, 1)
            ]
        attributes = {
            name: rows[0].get(column, "") for name, column in self._mapping.attributes.items()
        }
        if attributes:
            command["attributes"] = {name: text for name, text in attributes.items() if text}
        return Line(number, msgspec.json.encode(command))

    def _fields(self, fields: dict[str, Cell], row: Row) -> dict[str, object]:
        """What stands in a row; what is empty there is left out."""
        found: dict[str, object] = {}
        for name, cell in fields.items():
            if isinstance(cell, Constant):
                found[name] = cell.value
            elif name == "categories":
                columns = [cell] if isinstance(cell, str) else cell
                found[name] = [row[column] for column in columns if row.get(column)]
            elif text := self._text(name, row, fields):
                found[name] = self._value(name, text)
        return found

    def _text(self, name: str, row: Row, fields: dict[str, Cell] | None = None) -> str:
        """A cell; of several columns, such as a return's purchase and own number, `A/B`."""
        cell = (self._mapping.command if fields is None else fields)[name]
        if isinstance(cell, Constant):
            return str(cell.value)
        columns = [cell] if isinstance(cell, str) else cell
        return "/".join(row.get(column, "").strip() for column in columns).strip("/")

    def _value(self, name: str, text: str) -> object:
        if name.endswith("_minor"):
            return self._minor(text)
        if name in {"quantity", "points"}:
            return _whole(text)
        if name.endswith("_at"):
            return self._instant(text)
        return text

    def _minor(self, text: str) -> int | str:
        if self._mapping.decimals is None:
            return _whole(text)
        try:
            amount = Decimal(text.replace(self._mapping.decimal_mark, "."))
            minor = amount.scaleb(self._mapping.decimals)
            return int(minor) if minor == int(minor) else text
        except (InvalidOperation, ValueError, OverflowError):
            return text

    def _instant(self, text: str) -> str:
        layout = self._mapping.time_format
        try:
            at = _parsed(text, layout)
        except ValueError:
            return text
        if at.tzinfo is None and self._zone is not None:
            at = at.replace(tzinfo=self._zone)
        return at.isoformat()


class _CountedLines:
    """The lines of a file as text, and how many bytes of it they were."""

    def __init__(self, path: Path, encoding: str) -> None:
        self._encoding = encoding
        self._file = path.open("rb")
        self.place = Place()

    def __enter__(self) -> _CountedLines:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = self._file.readline(LINE_BYTES_MAX)
        if not raw:
            raise StopIteration
        if len(raw) == LINE_BYTES_MAX:
            raise csv.Error(f"the line is longer than {LINE_BYTES_MAX} bytes")
        encoding = self._encoding
        if self.place.offset and encoding == "utf-8-sig":
            encoding = "utf-8"  # only the file's first line may begin with a mark
        self.place = Place(self.place.offset + len(raw), self.place.lines + 1)
        return raw.decode(encoding)

    def go_to(self, place: Place) -> None:
        """Go on from there."""
        self._file.seek(place.offset)
        self.place = place


def _parsed(text: str, layout: str | None) -> datetime:
    """A time as a till wrote it; without an offset as a rule, which the mapping's zone gives it."""
    return datetime.strptime(text, layout) if layout else datetime.fromisoformat(text)  # noqa: DTZ007


def _whole(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text
