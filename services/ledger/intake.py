"""Commands as they come in: the same reading for REST, batches, files and Kafka.

A command travels as a CloudEvent on topic ``intake``. Its name for ever is (source, type, id): the
source is the merchant, or the part of Stampbook that derived it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from services.ledger.kinds import KINDS
from services.runtime.clock import Clock, parse_rfc3339
from services.runtime.contracts import (
    Contract,
    FieldError,
    NotJson,
    canonical,
    decode,
    fingerprint,
)
from services.runtime.stream import Message, Record
from services.runtime.telemetry import extract, inject, valid_traceparent

TOPIC = "intake"
PREFIX = "stampbook."
ADJUSTMENT_LIMIT = 10_000
_FIRST_YEAR = 1970
_AHEAD_MAX = timedelta(days=1)
_AMOUNT_MINOR_MAX = 10**15  # as for a single amount in the contracts
_NAMESPACE = UUID("1c0c8a52-1d8e-5d0b-8a3f-9c2b6f0d7e41").bytes
_CONTRACTS = {name: Contract.of(f"commands/{name}") for name in KINDS}
_ENVELOPE = Contract.of("commands/envelope")
_AHEAD = ("expires_at", "credit_at")
_INSTANTS = ("purchased_at", "returned_at", "earned_at", "expires_at", "credit_at")


class Malformed(Exception):
    """The command cannot be taken in; nothing of it is recorded."""

    def __init__(self, code: str, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody wants recorded."""

    source: str
    type: str  # without prefix: "purchase"
    id: str
    key: bytes  # 16 bytes that stand for (source, type, id)
    data: Mapping[str, Any]
    content: bytes  # canonical JSON of data
    fingerprint: bytes
    traceparent: str | None = None
    actor: str | None = None  # id and name of the key that asks, where the log says it

    @property
    def merchant(self) -> str:
        """Whose business it is, also when we derived the command."""
        merchant: str = self.data.get("merchant", self.source)
        return merchant

    @property
    def about(self) -> str:
        """The first part of its id: the purchase of a return or a claim, a card's number."""
        return self.id.partition("/")[0]

    def partition_key(self, member: str | None) -> str:
        """What decides its order: the member, a card of unknown holder, or the stranger's sale."""
        return member or self.data.get("card") or self.about

    def message(self, member: str | None) -> Message:
        """The command as it lies on topic ``intake``."""
        envelope = {
            "specversion": "1.0",
            "type": PREFIX + self.type,
            "source": self.source,
            "id": self.id,
            "data": msgspec.Raw(self.content),
        }
        if self.actor is not None:
            envelope["actor"] = self.actor
        raw = msgspec.json.encode(envelope)
        return Message(self.partition_key(member), raw, inject(self.traceparent))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the door asks for beyond the schemas."""

    is_accepted_currency: Callable[[str], bool]
    clock: Clock
    adjustment_limit: int = ADJUSTMENT_LIMIT  # points, for one operator alone


class _Envelope(msgspec.Struct, frozen=True):
    specversion: str
    type: str
    source: str
    id: str
    data: msgspec.Raw
    traceparent: str | None = None
    actor: str | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def key_of(source: str, type_: str, id_: str) -> bytes:
    """16 bytes of the uuid5 of a command's name."""
    name = f"{source}\0{type_}\0{id_}".encode()
    digest = bytearray(hashlib.sha1(_NAMESPACE + name).digest()[:16])  # noqa: S324
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


def command(
    source: str,
    type_: str,
    id_: str,
    data: Any,
    *,
    rules: Rules,
    traceparent: str | None = None,
) -> Command:
    """A command whose every field has been checked.

    Raises:
        Malformed: with every bad field.
    """
    errors = _CONTRACTS[type_].errors(data)
    if not errors:
        errors = _beyond_the_schema(type_, data, rules=rules)
    if errors:
        raise Malformed("invalid", f"{len(errors)} fields of this {type_} are bad", errors)
    content = canonical(data)
    return Command(
        source=source,
        type=type_,
        id=id_,
        key=key_of(source, type_, id_),
        data=data,
        content=content,
        fingerprint=fingerprint(content),
        traceparent=traceparent,
    )


def asked_by(wanted: Command, actor: str | None) -> Command:
    """The command with whose key asks for it, if its kind is one of which the log says so.

    Raises:
        Malformed: ``actor-missing``.
    """
    if not KINDS[wanted.type].needs_actor:
        return wanted
    if actor is None:
        raise Malformed("actor-missing", f"whose key asks for this {wanted.type} is not said")
    return msgspec.structs.replace(wanted, actor=actor)


def read(record: Record, *, rules: Rules) -> Command:
    """The command in a record of topic ``intake``, in structured or in binary mode.

    Raises:
        Malformed: it is not a command, or one of its fields is bad.
    """
    envelope = _binary(record) or _structured(record)
    attributes = {
        "specversion": envelope.specversion,
        "type": envelope.type,
        "source": envelope.source,
        "id": envelope.id,
        "data": {},
    }
    if envelope.actor is not None:
        attributes["actor"] = envelope.actor
    if not _ENVELOPE.is_valid(attributes):
        errors = _ENVELOPE.errors(attributes)
        raise Malformed("invalid", "not a command that the ledger knows", errors)
    try:
        data = decode(bytes(envelope.data))
    except NotJson as error:
        raise Malformed("not-json", str(error)) from None
    wanted = command(
        envelope.source,
        envelope.type.removeprefix(PREFIX),
        envelope.id,
        data,
        rules=rules,
        traceparent=envelope.traceparent,
    )
    return asked_by(wanted, envelope.actor)


def _structured(record: Record) -> _Envelope:
    try:
        envelope = _decode_envelope(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        try:
            errors = _ENVELOPE.errors(decode(record.value))
        except NotJson as no_json:
            raise Malformed("not-json", str(no_json)) from None
        raise Malformed("invalid", str(error), errors) from None
    traceparent = extract(record.headers) or valid_traceparent(envelope.traceparent)
    if traceparent == envelope.traceparent:
        return envelope
    return msgspec.structs.replace(envelope, traceparent=traceparent)


def _binary(record: Record) -> _Envelope | None:
    """CloudEvents' binary mode: attributes in ``ce_`` headers, the data as the value."""
    if not any(name == "ce_type" for name, _ in record.headers):
        return None
    found = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    return _Envelope(
        specversion=found.get("ce_specversion", ""),
        type=found["ce_type"],
        source=found.get("ce_source", ""),
        id=found.get("ce_id", ""),
        data=msgspec.Raw(record.value),
        traceparent=extract(record.headers),
        actor=found.get("ce_actor"),
    )


def _beyond_the_schema(type_: str, data: Mapping[str, Any], *, rules: Rules) -> list[FieldError]:
    """What a schema cannot say: real dates, accepted currencies, lines named once."""
    errors: list[FieldError] = []
    for name in _INSTANTS:
        text = data.get(name)
        if text is not None:
            errors += _instant_errors(name, text, now=rules.clock(), may_be_ahead=name in _AHEAD)
    if type_ == "purchase" and not rules.is_accepted_currency(data["currency"]):
        currency = json.dumps(data["currency"])
        errors.append(_error("/currency", "not-accepted", f"{currency} is not accepted here"))
    if type_ in ("purchase", "return"):
        if sum(line["amount_minor"] for line in data["lines"]) > _AMOUNT_MINOR_MAX:
            errors.append(_error("/lines", "out-of-range", "the lines sum to more than 10^15"))
        lines = [line["line"] for line in data["lines"]]
        if len(set(lines)) != len(lines):
            errors += [
                _error(f"/lines/{index}/line", "repeated", f"line {line!r} stands there twice")
                for index, line in enumerate(lines)
                if line in lines[:index]
            ]
    return errors


def _instant_errors(name: str, text: str, *, now: datetime, may_be_ahead: bool) -> list[FieldError]:
    try:
        instant = parse_rfc3339(text)
    except ValueError as error:
        return [_error(f"/{name}", "malformed", str(error))]
    if instant.year < _FIRST_YEAR or (not may_be_ahead and instant > now + _AHEAD_MAX):
        return [_error(f"/{name}", "out-of-range", "must lie between 1970 and a day from now")]
    return []


def _error(pointer: str, code: str, detail: str) -> FieldError:
    return FieldError(pointer=pointer, code=code, detail=detail)
