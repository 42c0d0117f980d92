"""Purchases as they were recorded, with what came back of them."""

from __future__ import annotations

from typing import Any

import msgspec

from services.ledger.intake import key_of
from services.ledger.store.belongings import load_claims
from services.ledger.store.outcomes import load_outcomes
from services.runtime.database import Connection
from services.runtime.eventlog import EventLog

_RETURNS = "SELECT position FROM purchase_returns WHERE purchase = :purchase ORDER BY position"
_OF_A_RETURN = ("returned_at", "lines", "shipping_minor")


def purchase(
    connection: Connection, log: EventLog, *, merchant: str, purchase_id: str
) -> dict[str, object] | None:
    """What the shop sent, and its returns; None when this merchant recorded no such purchase."""
    key = key_of(merchant, "purchase", purchase_id)
    outcome = load_outcomes(connection, [key]).get(key)
    if outcome is None or not outcome.first_position:
        return None
    positions = [position for (position,) in connection.rows(_RETURNS, {"purchase": key})]
    found = log.at(connection, [outcome.first_position, *positions])
    recorded, *returns = (msgspec.json.decode(found[at]) for at in sorted(found))
    sent = {name: value for name, value in recorded["data"].items() if name != "purchase"}
    if "subject" in recorded:
        sent["member"] = recorded["subject"]
    return {
        "id": purchase_id,
        "merchant": merchant,
        "position": recorded["position"],
        "known_at": recorded["recordedat"],
        **sent,
        **_claim(connection, log, key),
        "returns": [_return(event) for event in returns],
    }


def _claim(connection: Connection, log: EventLog, key: bytes) -> dict[str, object]:
    """Whose a stranger's purchase became, if it did."""
    claim = load_claims(connection, [key]).get(key)
    if claim is None:
        return {}
    claimed = msgspec.json.decode(log.at(connection, [claim.position])[claim.position])
    return {
        "member": claim.member,
        "claim": {"position": claim.position, "at": claimed["time"]},
    }


def _return(event: dict[str, Any]) -> dict[str, object]:
    data = event["data"]
    return {
        "id": data["return"],
        "position": event["position"],
        "known_at": event["recordedat"],
        **{name: data[name] for name in _OF_A_RETURN if name in data},
    }
