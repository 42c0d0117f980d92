"""The same as an entry says, in words."""

from __future__ import annotations

from services.ledger.domain.events import (
    CardBlocked,
    CardIssued,
    Event,
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
from services.runtime.clock import rfc3339


def sentence(event: Event) -> str:  # noqa: PLR0911 - one for each kind of event
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
        case PointsRepaid(points=points, unit=unit):
            return f"{points} {unit} of this lot went to what the member owed after a return."
        case PointsExpired(points=points, unit=unit, expired_at=at):
            return f"{points} {unit} were left of the lot when it ended at {rfc3339(at)}."


def _earned(event: PointsEarned) -> str:
    sums = event.origin.arithmetic
    end = "never end" if event.expires_at is None else f"end at {rfc3339(event.expires_at)}"
    return (
        f"Purchase {event.purchase} earned {event.points} {event.unit} by {_rule(event.origin)}: "
        f"{sums['points_each']} for each full {sums['per_minor']} of {sums['amount_minor']} "
        f"({sums['currency']}, smallest unit). They {end}."
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
