"""A programme's text made a value, with the line of every part of it.

YAML and JSON run through the same small builder. Of YAML only what JSON can say is taken: no
aliases (small texts that unfold to huge ones), no tags (texts that make objects), no key twice.
Plain words mean what YAML 1.2 says: ``on`` is a word, not true.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.rewards.domain.errors import Fault
from services.rewards.parts import Kind, NotText, Part, Place, json_parts, yaml_parts

YAML_TYPES = ("application/yaml", "text/yaml", "application/x-yaml", "text/x-yaml")
JSON_TYPE = "application/json"
SIZE_MAX_BYTES = 128 << 10
"""A page of rules has 5 KiB. YAML is read at some 200 KiB/s."""

_DEPTH_MAX = 16
_FAULTS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Text:
    """A text, read: its value, where each part stands, and what must not be there."""

    value: Any
    places: Mapping[str, Place]  # by JSON Pointer
    faults: tuple[Fault, ...]

    def located(self, fault: Fault) -> Fault:
        """The fault with the line of what it is about, or of what should have held it."""
        pointer = fault.pointer
        while pointer not in self.places and pointer:
            pointer = pointer.rpartition("/")[0]
        line, column = self.places.get(pointer, (1, 1))
        return Fault(fault.pointer, fault.code, fault.detail, line, column)


def read(raw: bytes, media_type: str) -> Text:
    """Read a text of one of the types above.

    Raises:
        NotText: it does not parse, or is too long.
    """
    is_json = media_type == JSON_TYPE
    language = "JSON" if is_json else "YAML"
    if len(raw) > SIZE_MAX_BYTES:
        raise NotText(f"longer than {SIZE_MAX_BYTES} bytes", language=language)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        detail = f"{error.reason} at byte {error.start}, which is not UTF-8"
        raise NotText(detail, language=language) from None
    parts = json_parts(text) if is_json else yaml_parts(text)
    builder = _Builder()
    for part in parts:
        if not builder.take(part):
            break
    return Text(builder.value, builder.places, tuple(builder.faults))


@dataclass(slots=True)
class _Open:
    """A mapping or a sequence that has not ended yet."""

    into: dict[str, Any] | list[Any]
    pointer: str
    key: str | None = None
    key_place: Place = (1, 1)


@dataclass(slots=True)
class _Builder:
    """Puts parts together, without recursion: depth is bounded by a number, not by the stack."""

    value: Any = None
    places: dict[str, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    _open: list[_Open] = field(default_factory=list)

    def take(self, part: Part) -> bool:
        """One part more; False: enough seen."""
        match part.kind:
            case Kind.FORBIDDEN:
                code, detail = part.value
                self._blame(self._pointer(), code, detail, part.place)
            case Kind.END:
                self._open.pop()
            case Kind.SCALAR if self._is_key_due():
                self._name(part)
            case Kind.SCALAR:
                self._put(part.value, part.place)
            case Kind.MAPPING | Kind.SEQUENCE:
                return self._begin(part)
        return len(self.faults) < _FAULTS_MAX

    def _begin(self, part: Part) -> bool:
        if self._is_key_due():
            self._blame(self._pointer(), "malformed", "a key has to be a word", part.place)
            return False
        if len(self._open) == _DEPTH_MAX:
            detail = f"nothing here is nested more than {_DEPTH_MAX} deep"
            self._blame(self._pointer(), "too-deep", detail, part.place)
            return False
        into: dict[str, Any] | list[Any] = {} if part.kind is Kind.MAPPING else []
        pointer = self._put(into, part.place)
        self._open.append(_Open(into, pointer))
        return True

    def _is_key_due(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].into, dict) and not self._has_key()

    def _has_key(self) -> bool:
        return self._open[-1].key is not None

    def _name(self, part: Part) -> None:
        holder = self._open[-1]
        holder.key, holder.key_place = part.key, part.place
        if part.key in holder.into:
            detail = f"{part.key} stands here twice"
            self._blame(self._pointer(), "repeated", detail, part.place)

    def _put(self, value: object, place: Place) -> str:
        """Hang a value where it belongs; returns its pointer."""
        pointer = self._pointer()
        if not self._open:
            self.value = value
        else:
            holder = self._open[-1]
            if isinstance(holder.into, list):
                holder.into.append(value)
            else:
                assert holder.key is not None
                holder.into[holder.key] = value
                place = holder.key_place
                holder.key = None
        self.places[pointer] = place
        return pointer

    def _pointer(self) -> str:
        """Where the next value goes."""
        if not self._open:
            return ""
        holder = self._open[-1]
        if isinstance(holder.into, list):
            return f"{holder.pointer}/{len(holder.into)}"
        if holder.key is None:
            return holder.pointer
        return f"{holder.pointer}/{holder.key.replace('~', '~0').replace('/', '~1')}"

    def _blame(self, pointer: str, code: str, detail: str, place: Place) -> None:
        self.faults.append(Fault(pointer, code, detail, *place))
