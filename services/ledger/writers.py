"""An event's instant and data, as its contract says; `readers` is the way back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

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
    ReturnRecorded,
)
from services.ledger.domain.parts import Actor, LotPoints, Origin
from services.ledger.domain.purchase import SHIPPING
from services.ledger.domain.terms import Shortfall, Terms
from services.runtime.clock import rfc3339


def content_of(event: Event) -> tuple[datetime, object]:  # noqa: C901, PLR0911, PLR0912  # a line an event
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
        case PointsCredited(credited_at=at):
            promise = {"promised_at": rfc3339(event.promised_at), "is_late": event.is_late}
            return at, {**_lot_data(event), **promise}
        case PointsHeld(held_at=at):
            return at, {**_hold_data(event), "expires_at": rfc3339(event.expires_at)}
        case PointsCaptured(captured_at=at, purchase=purchase):
            return at, {**_hold_data(event), **({"purchase": purchase} if purchase else {})}
        case PointsReleased(released_at=at):
            return at, {**_hold_data(event), "reason": event.reason.value}
        case PointsTakenBack(returned_at=at):
            return at, _taken_back_data(event)
        case PointsWrittenOff(written_off_at=at, return_id=return_id):
            return at, {**_lot_data(event), "return": return_id}
        case PointsRepaid(repaid_at=at):
            return at, {"lot": event.lot, "unit": event.unit, "points": event.points}
        case PointsExtended(extended_at=at):
            ends = {"was": rfc3339(event.was), "expires_at": rfc3339(event.expires_at)}
            return at, {**_lot_data(event), **ends}
        case PointsGranted(granted_at=at) | PointsWithdrawn(withdrawn_at=at):
            return at, _adjustment_data(event)
        case PointsExpired(expired_at=at):
            return at, _lot_data(event)


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
        **({} if event.credit_at is None else {"credit_at": rfc3339(event.credit_at)}),
        **_terms_data(event.terms),
        "arithmetic": event.origin.arithmetic,
    }


def _terms_data(terms: Terms) -> dict[str, object]:
    """What differs from the standard."""
    data: dict[str, object] = {}
    if terms.rank:
        data["rank"] = terms.rank
    if terms.shortfall is not Shortfall.OWE:
        data["shortfall"] = terms.shortfall.value
    if terms.grace is not None:
        data["grace_s"] = int(terms.grace.total_seconds())
    return data


def _lot_data(
    event: PointsCredited | PointsWrittenOff | PointsExtended | PointsExpired,
) -> dict[str, object]:
    purchase = {} if event.purchase is None else {"purchase": event.purchase}
    return {"lot": event.lot, "unit": event.unit, "points": event.points, **purchase}


def _adjustment_data(event: PointsGranted | PointsWithdrawn) -> dict[str, object]:
    data: dict[str, object] = {"adjustment": event.adjustment}
    if isinstance(event, PointsGranted):
        data["lot"] = event.lot
    data |= {"unit": event.unit, "points": event.points}
    if isinstance(event, PointsWithdrawn):
        data["lots"] = _shares(event.lots)
    data |= {"reason": event.reason, "by": by_data(event.by)}
    if isinstance(event, PointsGranted):
        data["expires_at"] = None if event.expires_at is None else rfc3339(event.expires_at)
    return data


def by_data(by: Actor) -> dict[str, object]:
    """Whose key it was."""
    return {"key": by.key, **({} if by.name is None else {"name": by.name})}


def _hold_data(event: PointsHeld | PointsCaptured | PointsReleased) -> dict[str, object]:
    return {
        "hold": event.hold,
        "unit": event.unit,
        "points": event.points,
        "lots": _shares(event.lots),
    }


def _shares(lots: Sequence[LotPoints]) -> list[dict[str, object]]:
    return [_share(part) for part in lots]


def _share(part: LotPoints) -> dict[str, object]:
    merchant = {} if part.merchant is None else {"merchant": part.merchant}
    return {"lot": part.lot, "points": part.points, **merchant}


def _taken_back_data(event: PointsTakenBack) -> dict[str, object]:
    return {
        "purchase": event.purchase,
        "return": event.return_id,
        "lot": event.lot,
        "unit": event.unit,
        "points": event.points,
        **({"pending": event.pending} if event.pending else {}),
        "lots": _shares(event.lots),
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
        "lots": _shares(event.lots),
    }
    if isinstance(event, PointsRestored) and event.redeemed_at is not None:
        data["redeemed_at"] = rfc3339(event.redeemed_at)
    return data


def _origin_data(origin: Origin) -> dict[str, object]:
    return {"programme": origin.programme, "version": origin.version, "rule": origin.rule}
