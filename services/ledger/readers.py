"""One reader for each event: from its data, in every form ever published, to the fact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from services.ledger.domain.events import (
    CardBlocked,
    CardIssued,
    Event,
    PointsCaptured,
    PointsCredited,
    PointsEarned,
    PointsExpired,
    PointsExtended,
    PointsGranted,
    PointsHeld,
    PointsRedeemed,
    PointsReleased,
    PointsRepaid,
    PointsRestored,
    PointsTakenBack,
    PointsWithdrawn,
    PointsWrittenOff,
    PurchaseClaimed,
    PurchaseRecorded,
    Release,
    ReturnRecorded,
)
from services.ledger.domain.parts import Actor, LotPoints, Origin
from services.ledger.domain.purchase import SHIPPING, Part
from services.ledger.domain.terms import STANDARD, Shortfall, Terms
from services.runtime.clock import parse_rfc3339
from services.runtime.contracts import canonical

_OF_A_CLAIM = (
    "purchase",
    "recorded_at",
    "returned",
    "returned_minor",
    "returned_shipping_minor",
)
_TERMS = frozenset(("rank", "shortfall", "grace_s"))


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
        credit_at=instant_in(data, "credit_at"),
        terms=terms_in(data),
    )


def _points_credited(data: Mapping[str, Any], at: datetime) -> PointsCredited:
    return PointsCredited(
        lot=data["lot"],
        unit=data["unit"],
        points=data["points"],
        purchase=data.get("purchase"),
        promised_at=parse_rfc3339(data["promised_at"]),
        credited_at=at,
        is_late=data["is_late"],
    )


def _points_held(data: Mapping[str, Any], at: datetime) -> PointsHeld:
    return PointsHeld(
        hold=data["hold"],
        unit=data["unit"],
        lots=_lots(data),
        held_at=at,
        expires_at=parse_rfc3339(data["expires_at"]),
    )


def _points_captured(data: Mapping[str, Any], at: datetime) -> PointsCaptured:
    return PointsCaptured(
        hold=data["hold"],
        unit=data["unit"],
        lots=_lots(data),
        captured_at=at,
        purchase=data.get("purchase"),
    )


def _points_released(data: Mapping[str, Any], at: datetime) -> PointsReleased:
    return PointsReleased(
        hold=data["hold"],
        unit=data["unit"],
        lots=_lots(data),
        released_at=at,
        reason=Release(data["reason"]),
    )


def _points_written_off(data: Mapping[str, Any], at: datetime) -> PointsWrittenOff:
    return PointsWrittenOff(
        purchase=data["purchase"],
        return_id=data["return"],
        lot=data["lot"],
        unit=data["unit"],
        points=data["points"],
        written_off_at=at,
    )


def _points_extended(data: Mapping[str, Any], at: datetime) -> PointsExtended:
    return PointsExtended(
        lot=data["lot"],
        unit=data["unit"],
        points=data["points"],
        purchase=data.get("purchase"),
        was=parse_rfc3339(data["was"]),
        expires_at=parse_rfc3339(data["expires_at"]),
        extended_at=at,
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
        redeemed_at=instant_in(data, "redeemed_at"),
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
        pending=data.get("pending", 0),
    )


def _points_repaid(data: Mapping[str, Any], at: datetime) -> PointsRepaid:
    return PointsRepaid(lot=data["lot"], unit=data["unit"], points=data["points"], repaid_at=at)


def _points_granted(data: Mapping[str, Any], at: datetime) -> PointsGranted:
    return PointsGranted(
        adjustment=data["adjustment"],
        lot=data["lot"],
        unit=data["unit"],
        points=data["points"],
        reason=data["reason"],
        by=_by(data),
        granted_at=at,
        expires_at=instant_in(data, "expires_at"),
    )


def _points_withdrawn(data: Mapping[str, Any], at: datetime) -> PointsWithdrawn:
    return PointsWithdrawn(
        adjustment=data["adjustment"],
        unit=data["unit"],
        lots=_lots(data),
        reason=data["reason"],
        by=_by(data),
        withdrawn_at=at,
    )


def _points_expired(data: Mapping[str, Any], at: datetime) -> PointsExpired:
    return PointsExpired(
        lot=data["lot"],
        unit=data["unit"],
        points=data["points"],
        purchase=data.get("purchase"),
        expired_at=at,
    )


def origin_in(data: Mapping[str, Any]) -> Origin:
    """The rule behind an award or a taking back, as commands and events carry it."""
    return Origin(
        programme=data["programme"],
        version=data["version"],
        rule=data["rule"],
        arithmetic=data["arithmetic"],
    )


def terms_in(data: Mapping[str, Any]) -> Terms:
    """What was promised of a lot, as awards and events carry it."""
    if not _TERMS & data.keys():
        return STANDARD
    grace_s = data.get("grace_s")
    return Terms(
        rank=data.get("rank", 0),
        shortfall=Shortfall(data.get("shortfall", Shortfall.OWE)),
        grace=None if grace_s is None else timedelta(seconds=grace_s),
    )


def instant_in(data: Mapping[str, Any], name: str) -> datetime | None:
    """An instant that may be missing, or null."""
    text = data.get(name)
    return None if text is None else parse_rfc3339(text)


def _by(data: Mapping[str, Any]) -> Actor:
    return Actor(key=data["by"]["key"], name=data["by"].get("name"))


def _lots(data: Mapping[str, Any]) -> tuple[LotPoints, ...]:
    return tuple(
        LotPoints(part["lot"], part["points"], part.get("merchant")) for part in data["lots"]
    )


READERS: Mapping[str, Callable[[Mapping[str, Any], datetime], Event]] = {
    "purchase.recorded": _purchase_recorded,
    "purchase.claimed": _purchase_claimed,
    "return.recorded": _return_recorded,
    "card.issued": lambda data, at: CardIssued(card=data["card"], issued_at=at),
    "card.blocked": lambda data, at: CardBlocked(card=data["card"], blocked_at=at),
    "points.earned": _points_earned,
    "points.credited": _points_credited,
    "points.redeemed": _points_redeemed,
    "points.restored": _points_restored,
    "points.held": _points_held,
    "points.captured": _points_captured,
    "points.released": _points_released,
    "points.taken-back": _points_taken_back,
    "points.written-off": _points_written_off,
    "points.repaid": _points_repaid,
    "points.extended": _points_extended,
    "points.granted": _points_granted,
    "points.withdrawn": _points_withdrawn,
    "points.expired": _points_expired,
}
