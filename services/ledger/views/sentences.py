"""The same as an entry says, in words."""

from __future__ import annotations

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
from services.ledger.domain.parts import Origin
from services.runtime.clock import rfc3339


def sentence(event: Event) -> str:  # noqa: C901, PLR0911 - one for each event
    """Why the points moved; amounts in the currency's smallest unit."""
    match event:
        case (
            PurchaseRecorded() | PurchaseClaimed() | ReturnRecorded() | CardIssued() | CardBlocked()
        ):
            return "No points moved."
        case PointsEarned():
            return _earned(event)
        case PointsTakenBack():
            return _taken_back(event)
        case PointsRedeemed(redemption=redemption, lots=lots):
            return (
                f"Redemption {redemption} spent {event.points} {event.unit} "
                f"of {_count(len(lots), 'lot')}, the soonest-ending first."
            )
        case PointsRestored(redemption=redemption):
            return (
                f"Redemption {redemption} was reversed: {event.points} {event.unit} went back "
                "to the lots they came from, each with its own end."
            )
        case PointsCredited(points=points, unit=unit):
            late = " That was late." if event.is_late else ""
            promised = f"promised for {rfc3339(event.promised_at)}"
            return f"{points} {unit}, {promised}, are at hand.{late}"
        case PointsHeld() | PointsCaptured() | PointsReleased():
            return _of_a_hold(event)
        case PointsWrittenOff(return_id=return_id, points=points, unit=unit):
            return (
                f"{points} {unit} that return {return_id} should have taken back were spent; "
                "the programme forgives them."
            )
        case PointsExtended(was=was, expires_at=end):
            return f"The lot was to end at {rfc3339(was)}; it ends at {rfc3339(end)}."
        case PointsGranted() | PointsWithdrawn():
            return _adjusted(event)
        case PointsRepaid(points=points, unit=unit):
            return f"{points} {unit} of this lot went to what the member owed after a return."
        case PointsExpired(points=points, unit=unit, expired_at=at):
            return f"{points} {unit} were left of the lot when it ended at {rfc3339(at)}."


def _adjusted(event: PointsGranted | PointsWithdrawn) -> str:
    verb, end = "withdrew", ""
    if isinstance(event, PointsGranted):
        at = event.expires_at
        verb, end = "granted", " They never end." if at is None else f" They end at {rfc3339(at)}."
    return (
        f"Adjustment {event.adjustment} {verb} {event.points} {event.unit}, by the key "
        f"{event.by.name or event.by.key}. The reason: {event.reason}.{end}"
    )


def _of_a_hold(event: PointsHeld | PointsCaptured | PointsReleased) -> str:
    match event:
        case PointsHeld(hold=hold, lots=lots):
            return (
                f"Hold {hold} set {event.points} {event.unit} of {_count(len(lots), 'lot')} aside, "
                f"until {rfc3339(event.expires_at)}."
            )
        case PointsCaptured(hold=hold):
            return f"Hold {hold} was captured: {event.points} {event.unit} were spent."
        case PointsReleased():
            return (
                f"{event.points} {event.unit} of hold {event.hold} are at hand again: "
                + (_RELEASED[event.reason])
            )


_RELEASED = {
    Release.ASKED: "it was released.",
    Release.CAPTURED_IN_PART: "it was captured in part.",
    Release.EXPIRED: "its end came.",
}


def _earned(event: PointsEarned) -> str:
    sums = event.origin.arithmetic
    pending = "" if event.credit_at is None else f" At hand from {rfc3339(event.credit_at)} on."
    end = "never end" if event.expires_at is None else f"end at {rfc3339(event.expires_at)}"
    return (
        f"Purchase {event.purchase} earned {event.points} {event.unit} by {_rule(event.origin)}: "
        f"{sums['points_each']} for each full {sums['per_minor']} of {sums['amount_minor']} "
        f"({sums['currency']}, smallest unit).{pending} They {end}."
    )


def _taken_back(event: PointsTakenBack) -> str:
    sums = event.origin.arithmetic
    owed = f" {event.owed} of them are still owed." if event.owed else ""
    return (
        f"Return {event.return_id} of purchase {event.purchase} took back {event.points} "
        f"{event.unit} by {_rule(event.origin)}: it gives {sums['points_before']} for the "
        f"{sums['kept_before_minor']} kept before it and {sums['points_after']} for the "
        f"{sums['kept_after_minor']} kept after it ({sums['currency']}, smallest unit).{owed}"
    )


def _rule(origin: Origin) -> str:
    return f"rule {origin.rule} of programme {origin.programme}, version {origin.version}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
