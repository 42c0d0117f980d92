"""Events as bytes: what the log holds, topic ``ledger`` carries and webhooks deliver.

The bytes of an event are written once and never again; `history` reads every form ever published.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

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
from services.ledger.domain.purchase import SHIPPING
from services.runtime.clock import rfc3339

PREFIX = "stampbook."
SUFFIX = ".v1"
SOURCE = "/ledger"


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Whose story an event belongs to, and who told it."""

    merchant: str
    member: str | None  # None: a sale to a stranger
    purchase: str | None = None  # then its id
    traceparent: str | None = None

    @property
    def stream(self) -> str:
        """The story's name in the log."""
        if self.member is not None:
            return stream_of(self.member)
        return f"purchase/{self.merchant}/{self.purchase}"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where and when an event enters the log."""

    shard: int
    position: int
    event_id: bytes
    recorded_at: str


class Times(NamedTuple):
    """When an event was true, and when it was written down."""

    occurred_at: datetime
    recorded_at: datetime


def stream_of(member: str) -> str:
    """A member's story in the log."""
    return f"member/{member}"


NAMES: Mapping[type, str] = {
    PurchaseRecorded: "purchase.recorded",
    PurchaseClaimed: "purchase.claimed",
    ReturnRecorded: "return.recorded",
    CardIssued: "card.issued",
    CardBlocked: "card.blocked",
    PointsEarned: "points.earned",
    PointsRedeemed: "points.redeemed",
    PointsRestored: "points.restored",
    PointsTakenBack: "points.taken-back",
    PointsRepaid: "points.repaid",
    PointsExpired: "points.expired",
}


def type_of(event: Event) -> str:
    """The type of an event, as the envelope has it."""
    return PREFIX + NAMES[type(event)] + SUFFIX


def encode(event: Event, story: Story, place: Place) -> tuple[datetime, bytes]:
    """When it was true, and the bytes of an event at its place in the log."""
    occurred_at, data = _content(event)
    envelope = _Envelope(
        specversion="1.0",
        id=_uuid_text(place.event_id),
        source=SOURCE,
        type=type_of(event),
        subject=story.member,
        time=rfc3339(occurred_at),
        shard=place.shard,
        position=place.position,
        recordedat=place.recorded_at,
        merchant=story.merchant,
        traceparent=story.traceparent,
        data=data,
    )
    return occurred_at, _encode(envelope)


class _Envelope(msgspec.Struct, omit_defaults=True, kw_only=True):
    """In the order of the contract; what is None is left out."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str | None = None
    time: str
    shard: int
    position: int
    recordedat: str
    merchant: str
    traceparent: str | None = None
    data: object


_encode = msgspec.json.Encoder().encode


def _uuid_text(id_: bytes) -> str:
    """What `str(UUID(bytes=id_))` says, four times as fast."""
    digits = id_.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _content(event: Event) -> tuple[datetime, object]:  # noqa: C901, PLR0911  # a line an event
    """Instant and data; in the order of the contract."""
    match event:
        case PurchaseRecorded(purchase=purchase, content=content, purchased_at=at):
            # Spliced, not decoded: the shop's own words, whatever their size.
            return at, msgspec.Raw(b'{"purchase":"' + purchase.encode() + b'",' + content[1:])
        case PurchaseClaimed(claimed_at=at):
            return at, _claim_data(event)
        case ReturnRecorded(returned_at=at):
            return at, _return_data(event)
        case CardIssued(card=card, issued_at=at) | CardBlocked(card=card, blocked_at=at):
            return at, {"card": card}
        case PointsEarned(earned_at=at):
            return at, _earned_data(event)
        case PointsRedeemed(redeemed_at=at) | PointsRestored(restored_at=at):
            return at, _redemption_data(event)
        case PointsTakenBack(returned_at=at):
            return at, _taken_back_data(event)
        case PointsRepaid(lot=lot, unit=unit, points=points, repaid_at=at):
            return at, {"lot": lot, "unit": unit, "points": points}
        case PointsExpired(lot=lot, unit=unit, points=points, purchase=purchase, expired_at=at):
            return at, {"lot": lot, "unit": unit, "points": points, "purchase": purchase}


def _claim_data(event: PurchaseClaimed) -> dict[str, object]:
    lines = {line: part for line, part in sorted(event.returned.items()) if line != SHIPPING}
    data: dict[str, object] = {
        "purchase": event.purchase,
        **msgspec.json.decode(event.content),
        "recorded_at": rfc3339(event.recorded_at),
        "returned": [
            {"line": line, "quantity": part.quantity, "amount_minor": part.amount_minor}
            for line, part in lines.items()
        ],
        "returned_minor": sum(part.amount_minor for part in lines.values()),
    }
    if SHIPPING in event.returned:
        data["returned_shipping_minor"] = event.returned[SHIPPING].amount_minor
    return data


def _return_data(event: ReturnRecorded) -> dict[str, object]:
    sent = msgspec.json.decode(event.content)
    return {
        "purchase": event.purchase,
        "return": event.return_id,
        **sent,
        "purchased_at": rfc3339(event.purchased_at),
        "currency": event.currency,
        "amount_minor": event.amount_minor,
    }


def _earned_data(event: PointsEarned) -> dict[str, object]:
    return {
        "lot": event.lot,
        "unit": event.unit,
        "points": event.points,
        "purchase": event.purchase,
        **_origin_data(event.origin),
        "expires_at": None if event.expires_at is None else rfc3339(event.expires_at),
        "arithmetic": event.origin.arithmetic,
    }


def _taken_back_data(event: PointsTakenBack) -> dict[str, object]:
    return {
        "purchase": event.purchase,
        "return": event.return_id,
        "lot": event.lot,
        "unit": event.unit,
        "points": event.points,
        "lots": [{"lot": part.lot, "points": part.points} for part in event.lots],
        "owed": event.owed,
        **_origin_data(event.origin),
        "arithmetic": event.origin.arithmetic,
    }


def _redemption_data(event: PointsRedeemed | PointsRestored) -> dict[str, object]:
    named = {"purchase": event.purchase, "card": getattr(event, "card", None)}
    data = {
        "redemption": event.redemption,
        "unit": event.unit,
        "points": event.points,
        **{name: id_ for name, id_ in named.items() if id_ is not None},
        "lots": [_part(part) for part in event.lots],
    }
    if isinstance(event, PointsRestored) and event.redeemed_at is not None:
        data["redeemed_at"] = rfc3339(event.redeemed_at)
    return data


def _part(part: LotPoints) -> dict[str, object]:
    merchant = {} if part.merchant is None else {"merchant": part.merchant}
    return {"lot": part.lot, "points": part.points, **merchant}


def _origin_data(origin: Origin) -> dict[str, object]:
    return {"programme": origin.programme, "version": origin.version, "rule": origin.rule}
