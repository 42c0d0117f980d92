"""Why an entry stands there: back to purchase and rule, on to what its points paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from services.ledger import history
from services.ledger.domain.events import (
    CardBlocked,
    CardIssued,
    Event,
    PointsCaptured,
    PointsEarned,
    PointsGranted,
    PointsHeld,
    PointsRedeemed,
    PointsReleased,
    PointsRestored,
    PointsTakenBack,
    PointsWithdrawn,
    PurchaseClaimed,
    PurchaseRecorded,
    ReturnRecorded,
)
from services.ledger.domain.parts import LotPoints
from services.ledger.store.lots import load_lots
from services.ledger.views.genealogy import Reader, adjustment_of, rule_of, share, sources
from services.ledger.views.purchases import purchase
from services.ledger.views.sentences import sentence
from services.ledger.views.spending import spending
from services.ledger.views.statement import entry
from services.runtime.database import Connection
from services.runtime.eventlog import EventLog, event_id_at

LIST_MAX = 1_000
_ANOTHERS = "This is another merchant's business, who can say more."


def why(
    connection: Connection, log: EventLog, event_id: bytes, *, merchant: str | None, after: int = 0
) -> dict[str, object] | None:
    """All there is to say of an entry; None when no entry has this id.

    A merchant who asks is not shown what another one sold. Of what may be long, the spending of
    earned points or else the lots touched, the answer holds a page; ``after`` is its ``next``.
    """
    found = log.find(connection, event_id)
    if found is None:
        return None
    recorded = history.decode(found[1])
    event = recorded.event
    if isinstance(
        event, PurchaseRecorded | PurchaseClaimed | ReturnRecorded | CardIssued | CardBlocked
    ):
        return None
    reader = Reader(connection, log, merchant)
    shard = recorded.shard
    lots = _touched(event)
    paid_for: list[dict[str, object]] = []
    if isinstance(event, PointsEarned | PointsGranted):
        paid_for, next_ = spending(connection, log, event.lot, after=after, limit=LIST_MAX)
        touched = _own(reader, lots, shard=shard)
    elif getattr(event, "lots", None) is None:
        touched, next_ = _own(reader, lots, shard=shard), None
    else:
        touched, next_ = sources(reader, lots, after=after, limit=LIST_MAX)
    is_shown = merchant in (None, recorded.merchant)
    origin = _origin(connection, log, event, merchant=merchant)
    if isinstance(event, PointsWithdrawn) and is_shown:
        origin = {"adjustment": adjustment_of(event)}
    return {
        "entry": entry(recorded),
        "sentence": _sentence(event, origin) if is_shown else _ANOTHERS,
        **origin,
        "lots": touched,
        "paid_for": paid_for,
        "next": next_,
    }


def _sentence(event: Event, origin: Mapping[str, Any]) -> str:
    """Of points that a purchase earned late, since it was a stranger's, also that."""
    said = sentence(event)
    claim = origin.get("purchase", {}).get("claim")
    if isinstance(event, PointsEarned) and claim is not None:
        said += f" It was a stranger's, and was claimed at {claim['at']}."
    return said


def _touched(event: Event) -> Sequence[LotPoints]:
    match event:
        case (
            PurchaseRecorded() | PurchaseClaimed() | ReturnRecorded() | CardIssued() | CardBlocked()
        ):
            return []
        case PointsRedeemed(lots=lots) | PointsRestored(lots=lots) | PointsTakenBack(lots=lots):
            return lots
        case PointsWithdrawn(lots=lots):
            return lots
        case PointsHeld(lots=lots) | PointsCaptured(lots=lots) | PointsReleased(lots=lots):
            return lots
        case _:
            return [LotPoints(event.lot, event.points)]


def _origin(
    connection: Connection, log: EventLog, event: Event, *, merchant: str | None
) -> dict[str, object]:
    """The purchase that an entry comes from, and the rule; of spending there are many."""
    lot = getattr(event, "lot", None)
    if lot is None:
        return {}
    own = load_lots(connection, [lot])[lot]
    if merchant not in (None, own.lot.merchant):
        return {}
    opening = history.decode(log.at(connection, [own.position])[own.position]).event
    if isinstance(opening, PointsGranted):
        return {"adjustment": adjustment_of(opening)}
    assert isinstance(opening, PointsEarned)
    assert own.lot.purchase is not None, "a purchase earned it"
    origin = getattr(event, "origin", None) or opening.origin
    bought = purchase(connection, log, merchant=own.lot.merchant, purchase_id=own.lot.purchase)
    rule = rule_of(origin)
    return {"rule": rule} if bought is None else {"purchase": bought, "rule": rule}


def _own(reader: Reader, parts: Sequence[LotPoints], *, shard: int) -> list[dict[str, object]]:
    """The one lot of an entry, whose purchase and rule the answer names anyway."""
    stored = load_lots(reader.connection, [part.lot for part in parts])
    return [
        share(
            part,
            stored[part.lot],
            entry_id=str(UUID(bytes=event_id_at(shard, stored[part.lot].position))),
            is_shown=reader.may_see(stored[part.lot]),
        )
        for part in parts
    ]
