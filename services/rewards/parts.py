"""The parts of a YAML or JSON text, one by one; nothing is constructed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import yaml

from services.runtime.contracts import NotJson, decode

Place = tuple[int, int]
"""Line and column, both counted from 1."""


class Mark(Protocol):
    """A place as PyYAML has it, counted from 0."""

    line: int
    column: int


class NotText(ValueError):
    """The bytes are not one YAML or JSON document at all."""

    def __init__(self, detail: str, place: Place | None = None, *, language: str) -> None:
        super().__init__(detail)
        self.place = place
        self.language = language


class Kind(Enum):
    MAPPING = "{"
    SEQUENCE = "["
    END = "]"
    SCALAR = "scalar"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class Part:
    kind: Kind
    place: Place
    value: Any = None  # of a scalar; of what is forbidden: its code and a sentence
    key: str = ""  # what a scalar says when it is a key


def yaml_parts(text: str) -> Iterator[Part]:
    """What PyYAML's parser sees, one by one; nothing is constructed."""
    documents = 0
    place: Place | None
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            place = _place_of(event.start_mark) or (1, 1)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    yield _forbidden("too-many", "one document, please", place)
                    return
            yield from _forbidden_in(event, place)
            yield from _yaml_part(event, place)
    except yaml.MarkedYAMLError as error:
        detail = ", ".join(filter(None, (error.context, error.problem)))
        place = _place_of(error.problem_mark or error.context_mark)
        raise NotText(detail, place, language="YAML") from None
    except yaml.reader.ReaderError as error:
        place = _place_after(text[: error.position])
        raise NotText(error.reason, place, language="YAML") from None
    except (ValueError, ArithmeticError) as error:
        # The scanner lets int() and chr() fail on absurd escapes and version numbers.
        raise NotText(str(error), language="YAML") from None


def _yaml_part(event: yaml.Event, place: Place) -> Iterator[Part]:
    match event:
        case yaml.MappingStartEvent():
            yield Part(Kind.MAPPING, place)
        case yaml.SequenceStartEvent():
            yield Part(Kind.SEQUENCE, place)
        case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
            yield Part(Kind.END, place)
        case yaml.ScalarEvent(value=text):
            # Half of a surrogate pair was blamed already; from here on everything is text.
            text = text.encode(errors="replace").decode()
            yield Part(Kind.SCALAR, place, text if event.style else _plain(text), text)
        case yaml.AliasEvent():
            yield Part(Kind.SCALAR, place, None, f"*{event.anchor}")
        case _:
            pass  # Where streams and documents begin and end.


def _forbidden_in(event: yaml.Event, place: Place) -> Iterator[Part]:
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        yield _forbidden("alias", "no anchors and aliases: write it out", place)
    tag = getattr(event, "tag", None)
    if tag:
        yield _forbidden("tag", f"no tags: leave out {tag}", place)
    text = getattr(event, "value", "")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        yield _forbidden("malformed", "half of a surrogate pair is not a character", place)


def _place_of(mark: Mark | None) -> Place | None:
    return None if mark is None else (mark.line + 1, mark.column + 1)


def _place_after(before: str) -> Place:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _forbidden(code: str, detail: str, place: Place) -> Part:
    return Part(Kind.FORBIDDEN, place, (code, detail))


_WORDS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_WHOLE = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_NUMBER_MAX = 10**18
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)


def _plain(text: str) -> object:
    """A word without quotes, by the core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    # 1.0 is 1, as in JSON; what is beyond counting stays a word and breaks the contract as one.
    if abs(number) > _NUMBER_MAX:
        return text
    return int(number) if number.is_integer() else number


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]]|[^\s{}\[\]:,"]++', re.DOTALL)
_BY_BRACKET = {"{": Kind.MAPPING, "[": Kind.SEQUENCE, "}": Kind.END, "]": Kind.END}


def json_parts(text: str) -> Iterator[Part]:
    """The tokens of what is known to be JSON."""
    try:
        decode(text.encode())
    except NotJson as error:
        raise NotText(str(error), _place_in(text, str(error)), language="JSON") from None
    line, seen = 1, 0
    for token in _TOKEN.finditer(text):
        line += text.count("\n", seen, token.start())
        seen = token.start()
        place = (line, seen - text.rfind("\n", 0, seen))
        kind = _BY_BRACKET.get(token[0])
        if kind is not None:
            yield Part(kind, place)
        else:
            value = decode(token[0].encode())
            yield Part(Kind.SCALAR, place, value, str(value))


def _place_in(text: str, complaint: str) -> Place | None:
    """The decoder names the byte."""
    found = re.search(r"\(byte (\d+)\)", complaint)
    if found is None:
        return None
    return _place_after(text.encode()[: int(found[1])].decode(errors="replace"))
