"""Events read back from their bytes, in every form ever published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from services.ledger.domain.events import (
    CardBlocked,
    CardIssued,
    Event,
    LotPoints,
    Origin,
    PointsEarned,
    PointsExpired,
    PointsRedeemed,
    PointsRepaid,
    PointsRestored,
    PointsTakenBack,
    PurchaseClaimed,
    PurchaseRecorded,
    ReturnRecorded,
)
from services.ledger.domain.purchase import SHIPPING, Part, Purchase
from services.ledger.wire import PREFIX, SUFFIX
from services.runtime.clock import parse_rfc3339
from services.runtime.contracts import canonical

_OF_A_CLAIM = (
    "purchase",
    "recorded_at",
    "returned",
    "returned_minor",
    "returned_shipping_minor",
)


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
    if name not in _READERS:
        raise ValueError(f"this release knows no event {type_}")
    return _READERS[name](data, at)


def _purchase_recorded(data: Mapping[str, Any], at: datetime) -> PurchaseRecorded:
    content = canonical({name: value for name, value in data.items() if name != "purchase"})
    return PurchaseRecorded(purchase=data["purchase"], content=content, purchased_at=at)


def _purchase_claimed(data: Mapping[str, Any], at: datetime) -> PurchaseClaimed:
    content = {name: value for name, value in data.items() if name not in _OF_A_CLAIM}
    returned = {
        line["line"]: Part(line["quantity"], line["amount_minor"]) for line in data["returned"]
    }
    if "returned_shipping_minor" in data:
        returned[SHIPPING] = Part(0, data["returned_shipping_minor"])
    return PurchaseClaimed(
        purchase=data["purchase"],
        content=canonical(content),
        recorded_at=parse_rfc3339(data["recorded_at"]),
        returned=returned,
        claimed_at=at,
    )


def _return_recorded(data: Mapping[str, Any], at: datetime) -> ReturnRecorded:
    sent = {k: data[k] for k in ("returned_at", "lines", "shipping_minor") if k in data}
    return ReturnRecorded(
        purchase=data["purchase"],
        return_id=data["return"],
        content=canonical(sent),
        returned_at=at,
        purchased_at=parse_rfc3339(data["purchased_at"]),
        currency=data["currency"],
        amount_minor=data["amount_minor"],
    )


def _points_earned(data: Mapping[str, Any], at: datetime) -> PointsEarned:
    expires_at = data["expires_at"]
    return PointsEarned(
        lot=data["lot"],
        unit=data["unit"],
        points=data["points"],
        purchase=data["purchase"],
        earned_at=at,
        expires_at=None if expires_at is None else parse_rfc3339(expires_at),
        origin=origin_in(data),
    )


def _points_redeemed(data: Mapping[str, Any], at: datetime) -> PointsRedeemed:
    return PointsRedeemed(
        redemption=data["redemption"],
        unit=data["unit"],
        lots=_lots(data),
        purchase=data.get("purchase"),
        redeemed_at=at,
        card=data.get("card"),
    )


def _points_restored(data: Mapping[str, Any], at: datetime) -> PointsRestored:
    return PointsRestored(
        redemption=data["redemption"],
        unit=data["unit"],
        lots=_lots(data),
        purchase=data.get("purchase"),
        restored_at=at,
        redeemed_at=parse_rfc3339(data["redeemed_at"]) if "redeemed_at" in data else None,
    )


def _points_taken_back(data: Mapping[str, Any], at: datetime) -> PointsTakenBack:
    return PointsTakenBack(
        purchase=data["purchase"],
        return_id=data["return"],
        lot=data["lot"],
        unit=data["unit"],
        lots=_lots(data),
        owed=data["owed"],
        returned_at=at,
        origin=origin_in(data),
    )


def _points_repaid(data: Mapping[str, Any], at: datetime) -> PointsRepaid:
    return PointsRepaid(lot=data["lot"], unit=data["unit"], points=data["points"], repaid_at=at)


def _points_expired(data: Mapping[str, Any], at: datetime) -> PointsExpired:
    return PointsExpired(
        lot=data["lot"],
        unit=data["unit"],
        points=data["points"],
        purchase=data["purchase"],
        expired_at=at,
    )


_READERS: Mapping[str, Callable[[Mapping[str, Any], datetime], Event]] = {
    "purchase.recorded": _purchase_recorded,
    "purchase.claimed": _purchase_claimed,
    "return.recorded": _return_recorded,
    "card.issued": lambda data, at: CardIssued(card=data["card"], issued_at=at),
    "card.blocked": lambda data, at: CardBlocked(card=data["card"], blocked_at=at),
    "points.earned": _points_earned,
    "points.redeemed": _points_redeemed,
    "points.restored": _points_restored,
    "points.taken-back": _points_taken_back,
    "points.repaid": _points_repaid,
    "points.expired": _points_expired,
}


def origin_in(data: Mapping[str, Any]) -> Origin:
    """The rule behind an award or a taking back, as commands and events carry it."""
    return Origin(
        programme=data["programme"],
        version=data["version"],
        rule=data["rule"],
        arithmetic=data["arithmetic"],
    )


def purchase_in(event: PurchaseRecorded) -> Purchase:
    """What returns have to know of a recorded purchase."""
    sent = msgspec.json.decode(event.content)
    bought = {line["line"]: Part(line["quantity"], line["amount_minor"]) for line in sent["lines"]}
    bought[SHIPPING] = Part(0, sent.get("shipping_minor", 0))
    return Purchase(purchased_at=event.purchased_at, currency=sent["currency"], bought=bought)


def _lots(data: Mapping[str, Any]) -> tuple[LotPoints, ...]:
    return tuple(
        LotPoints(part["lot"], part["points"], part.get("merchant")) for part in data["lots"]
    )
