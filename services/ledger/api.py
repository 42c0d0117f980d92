"""The ledger's HTTP door: everything under ``/v1`` that the ledger answers."""

from fastapi import APIRouter

from services.ledger import (
    api_batches,
    api_cards,
    api_checkpoints,
    api_commands,
    api_dead_letters,
    api_events,
    api_export,
    api_keys,
    api_members,
    api_outcomes,
    api_proofs,
    api_purchases,
    api_reports,
    api_statements,
    api_verification,
)
from services.ledger.intake import Rules
from services.ledger.keys import StoredKeys
from services.ledger.reception import Reception
from services.ledger.signing import NO_SEALS, Seals
from services.ledger.store.outcomes import OUTCOMES_BELL
from services.ledger.waiting import Bell, Outcomes
from services.runtime.database import Database
from services.runtime.eventlog import BELL
from services.runtime.stream import Producer

TITLE = "Stampbook ledger"


def routes(
    *,
    database: Database,
    producer: Producer,
    keys: StoredKeys,
    rules: Rules,
    seals: Seals = NO_SEALS,
    time_zone: str = "UTC",
) -> APIRouter:
    """All doors of one process. What they are given stays the caller's to close."""
    outcomes = Outcomes(database, Bell(database, OUTCOMES_BELL))
    reception = Reception(database, producer, outcomes)
    router = APIRouter()  # each part says its whole path: refusals and metrics name it
    for part in (
        api_commands.routes(reception, rules, keys),
        api_batches.routes(reception, rules, keys),
        api_outcomes.routes(reception, keys, database),
        api_members.routes(database, rules.clock, keys),
        api_purchases.routes(database, rules.clock, keys),
        api_reports.routes(database, rules.clock, keys, seals.signers),
        api_cards.routes(database, keys),
        api_statements.routes(
            database, rules.clock, keys, time_zone=time_zone, signers=seals.signers
        ),
        api_events.routes(database, Bell(database, BELL), keys),
        api_dead_letters.routes(database, producer, keys),
        api_keys.routes(keys),
        api_verification.routes(database, keys),
        api_export.routes(database, keys),
        api_checkpoints.routes(database, keys, seals),
        api_proofs.routes(database, keys),
    ):
        router.include_router(part)
    return router
