"""Events read back from their bytes, in every form ever published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from services.ledger.domain.events import Event, PurchaseRecorded
from services.ledger.domain.purchase import SHIPPING, Part, Purchase
from services.ledger.readers import READERS
from services.ledger.wire import PREFIX, SUFFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event read back, with what the envelope says."""

    event: Event
    event_id: str
    shard: int
    position: int
    merchant: str
    member: str | None
    recorded_at: datetime
    occurred_at: datetime


class Envelope(msgspec.Struct, frozen=True):
    """What can be said of an event without looking into its data."""

    id: str
    type: str
    time: datetime  # as we write it; with its own offset
    shard: int
    position: int
    recordedat: datetime
    merchant: str
    data: msgspec.Raw
    subject: str | None = None


class _Purchase(msgspec.Struct):
    purchase: str


_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_purchase = msgspec.json.Decoder(_Purchase).decode


def decode(raw: bytes) -> Recorded:
    """Read an event of the log.

    Raises:
        ValueError: the bytes are not an event that this release knows (msgspec.DecodeError is
            one), or a field is missing (KeyError becomes one).
    """
    return read(unfold(raw))


def unfold(raw: bytes) -> Envelope:
    """What the envelope of an event says; its data are not looked at.

    Raises:
        ValueError: the bytes are no envelope of ours.
    """
    try:
        return _decode_envelope(raw)
    except UnicodeDecodeError as error:
        raise ValueError(f"not an event of the ledger: {error!r}") from error


def purchase_id_in(envelope: Envelope) -> str:
    """Which purchase an event is about, without reading the rest of it.

    Raises:
        ValueError: none is named, or the data are no JSON.
    """
    return _decode_purchase(envelope.data).purchase


def read(envelope: Envelope) -> Recorded:
    """The event in an envelope.

    Raises:
        ValueError: as for `decode`.
    """
    try:
        return Recorded(
            event=_event(envelope.type, msgspec.json.decode(envelope.data), envelope.time),
            event_id=envelope.id,
            shard=envelope.shard,
            position=envelope.position,
            merchant=envelope.merchant,
            member=envelope.subject,
            recorded_at=envelope.recordedat,
            occurred_at=envelope.time,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event of the ledger: {error!r}") from error


def _event(type_: str, data: Mapping[str, Any], at: datetime) -> Event:
    """The fact behind a type and its data."""
    name = type_.removeprefix(PREFIX).removesuffix(SUFFIX)
    if name not in READERS:
        raise ValueError(f"this release knows no event {type_}")
    return READERS[name](data, at)


def purchase_in(event: PurchaseRecorded) -> Purchase:
    """What returns have to know of a recorded purchase."""
    sent = msgspec.json.decode(event.content)
    bought = {line["line"]: Part(line["quantity"], line["amount_minor"]) for line in sent["lines"]}
    bought[SHIPPING] = Part(0, sent.get("shipping_minor", 0))
    return Purchase(purchased_at=event.purchased_at, currency=sent["currency"], bought=bought)
