"""A programme's document: its text, its shape and its meaning, every fault named at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.rewards import text
from services.rewards.domain.errors import Fault, NotAProgramme
from services.rewards.domain.programme import faults_in
from services.rewards.text import Text
from services.runtime.contracts import Contract, canonical


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document that is a programme."""

    programme: str
    content: bytes  # what it says: canonical JSON
    written: str
    media_type: str


def read(raw: bytes, media_type: str, *, programme: str | None = None) -> Document:
    """Read a document, of this programme if one is named.

    Raises:
        NotText: it does not parse.
        NotAProgramme: with every fault, each with its line.
    """
    found = text.read(raw, media_type)
    faults = [*found.faults, *map(found.located, _faults(found, programme))]
    if faults:
        raise NotAProgramme(sorted(faults, key=lambda fault: (fault.line, fault.column)))
    return Document(
        programme=found.value["programme"],
        content=canonical(found.value),
        written=raw.decode("utf-8-sig"),
        media_type=media_type,
    )


def _faults(found: Text, programme: str | None) -> Iterator[Fault]:
    """What is wrong with the shape, and with the meaning of whatever has its shape."""
    errors = Contract.of("programme").errors(found.value)
    for error in errors:
        yield Fault(error["pointer"], error["code"], error["detail"])
    if isinstance(found.value, dict):
        sound = _without(found.value, [error["pointer"] for error in errors])
        yield from faults_in(sound)
        named = sound.get("programme")
        if programme is not None and named not in (None, programme):
            detail = f"the address says {programme}, the document {named}"
            yield Fault("/programme", "other-programme", detail)


def _without(value: Mapping[str, Any], pointers: Sequence[str]) -> dict[str, Any]:
    """A copy in which whatever stands at these places is None."""
    copy: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    for pointer in pointers:
        *path, last = (s.replace("~1", "/").replace("~0", "~") for s in pointer.split("/")[1:])
        holder: Any = copy
        for step in path:
            holder = holder.get(step) if isinstance(holder, dict) else None
        # What stands in a list is never looked at more closely.
        if isinstance(holder, dict) and last in holder:
            holder[last] = None
    return copy
