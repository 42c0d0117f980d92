"""Events as bytes: what the log holds, topic ``ledger`` carries and webhooks deliver.

The bytes of an event are written once and never again; readers below must read every form ever
published (``contracts/examples/events``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from services.ledger.domain.events import (
    Event,
    LotPoints,
    Origin,
    PointsEarned,
    PointsExpired,
    PointsRedeemed,
    PointsRepaid,
    PointsRestored,
    PointsTakenBack,
    PurchaseRecorded,
    ReturnRecorded,
)
from services.ledger.domain.purchase import SHIPPING, Part, Purchase
from services.runtime.clock import parse_rfc3339, rfc3339
from services.runtime.contracts import canonical

PREFIX = "stampbook."
SUFFIX = ".v1"
SOURCE = "/ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where and when an event enters the log."""

    shard: int
    position: int
    event_id: bytes
    recorded_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event read back, with what the envelope says."""

    event: Event
    event_id: str
    position: int
    merchant: str
    member: str | None
    recorded_at: datetime
    occurred_at: datetime


def stream_of(member: str) -> str:
    """A member's story in the log."""
    return f"member/{member}"


def encode(event: Event, story: Story, place: Place) -> tuple[str, bytes]:
    """Type and bytes of an event at its place in the log."""
    name, occurred_at, data = _content(event)
    type_ = PREFIX + name + SUFFIX
    envelope: dict[str, object] = {
        "specversion": "1.0",
        "id": str(UUID(bytes=place.event_id)),
        "source": SOURCE,
        "type": type_,
    }
    if story.member is not None:
        envelope["subject"] = story.member
    envelope["time"] = rfc3339(occurred_at)
    envelope["shard"] = place.shard
    envelope["position"] = place.position
    envelope["recordedat"] = place.recorded_at
    envelope["merchant"] = story.merchant
    if story.traceparent is not None:
        envelope["traceparent"] = story.traceparent
    envelope["data"] = data
    return type_, msgspec.json.encode(envelope)


def _content(event: Event) -> tuple[str, datetime, object]:
    """Name, instant and data; in the order of the contract."""
    match event:
        case PurchaseRecorded(purchase=purchase, content=content, purchased_at=at):
            # Spliced, not decoded: the shop's own words, whatever their size.
            return "purchase.recorded", at, msgspec.Raw(
                b'{"purchase":"' + purchase.encode() + b'",' + content[1:]
            )
        case ReturnRecorded(returned_at=at):
            return "return.recorded", at, _return_data(event)
        case PointsEarned(earned_at=at):
            return "points.earned", at, _earned_data(event)
        case PointsRedeemed(redemption=redemption, redeemed_at=at):
            data = {"redemption": redemption, "unit": event.unit, "points": event.points}
            return "points.redeemed", at, {**data, **_purchase_and_lots(event)}
        case PointsRestored(redemption=redemption, restored_at=at):
            data = {"redemption": redemption, "unit": event.unit, "points": event.points}
            return "points.restored", at, {**data, **_purchase_and_lots(event)}
        case PointsTakenBack(returned_at=at):
            return "points.taken-back", at, _taken_back_data(event)
        case PointsRepaid(lot=lot, unit=unit, points=points, repaid_at=at):
            return "points.repaid", at, {"lot": lot, "unit": unit, "points": points}
        case PointsExpired(lot=lot, unit=unit, points=points, purchase=purchase, expired_at=at):
            data = {"lot": lot, "unit": unit, "points": points, "purchase": purchase}
            return "points.expired", at, data


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


def _purchase_and_lots(event: PointsRedeemed | PointsRestored) -> dict[str, object]:
    purchase = {} if event.purchase is None else {"purchase": event.purchase}
    return {
        **purchase,
        "lots": [{"lot": part.lot, "points": part.points} for part in event.lots],
    }


def _origin_data(origin: Origin) -> dict[str, object]:
    return {"programme": origin.programme, "version": origin.version, "rule": origin.rule}


def decode(raw: bytes) -> Recorded:
    """Read an event of the log.

    Raises:
        ValueError: the bytes are not an event that this release knows (msgspec.DecodeError is
            one), or a field is missing (KeyError becomes one).
    """
    try:
        envelope = msgspec.json.decode(raw)
        occurred_at = parse_rfc3339(envelope["time"])
        return Recorded(
            event=_event(envelope["type"], envelope["data"], occurred_at),
            event_id=envelope["id"],
            position=envelope["position"],
            merchant=envelope["merchant"],
            member=envelope.get("subject"),
            recorded_at=parse_rfc3339(envelope["recordedat"]),
            occurred_at=occurred_at,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event of the ledger: {error!r}") from error


def _event(type_: str, data: Mapping[str, Any], at: datetime) -> Event:
    """The fact behind a type and its data."""
    match type_.removeprefix(PREFIX).removesuffix(SUFFIX):
        case "purchase.recorded":
            content = canonical({k: v for k, v in data.items() if k != "purchase"})
            return PurchaseRecorded(purchase=data["purchase"], content=content, purchased_at=at)
        case "return.recorded":
            return _return_recorded(data, at)
        case "points.earned":
            return _points_earned(data, at)
        case "points.redeemed":
            return PointsRedeemed(
                redemption=data["redemption"],
                unit=data["unit"],
                lots=_lots(data),
                purchase=data.get("purchase"),
                redeemed_at=at,
            )
        case "points.restored":
            return PointsRestored(
                redemption=data["redemption"],
                unit=data["unit"],
                lots=_lots(data),
                purchase=data.get("purchase"),
                restored_at=at,
            )
        case "points.taken-back":
            return _points_taken_back(data, at)
        case "points.repaid":
            return PointsRepaid(
                lot=data["lot"], unit=data["unit"], points=data["points"], repaid_at=at
            )
        case "points.expired":
            return PointsExpired(
                lot=data["lot"],
                unit=data["unit"],
                points=data["points"],
                purchase=data["purchase"],
                expired_at=at,
            )
        case unknown:
            raise ValueError(f"this release knows no event {unknown}")


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
    return tuple(LotPoints(part["lot"], part["points"]) for part in data["lots"])
