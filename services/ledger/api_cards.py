"""The door to cards: whom a number leads to, and whether it still does."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends
from starlette.responses import Response

from services.ledger.store.belongings import StoredCard, load_cards
from services.runtime.auth import Keys, Principal, Role, authenticated
from services.runtime.database import Database
from services.runtime.eventlog import EventLog
from services.runtime.openapi import gives
from services.runtime.problems import Problem
from services.runtime.web import PathId, answer


def routes(database: Database, keys: Keys) -> APIRouter:
    """Any key may ask: a card is good at every till."""
    router = APIRouter(prefix="/v1", tags=["points"])
    reader = Annotated[Principal, Depends(authenticated(keys, *Role))]
    log = EventLog(database)

    @router.get(
        "/cards/{number}",
        responses=gives({200: ("The card.", "answers/card")}, {404: "unknown-card"}),
    )
    def get_card(_: reader, number: PathId) -> Response:
        """Whom a card's number leads to; a blocked one is shown too."""
        with database.read() as connection:
            stored = load_cards(connection, [number]).get(number)
            if stored is None:
                raise Problem(404, "unknown-card", f"there is no card {number}")
            places = [stored.position, stored.blocked_position or stored.position]
            events = log.at(connection, places)
        return answer(_shown(number, stored, events))

    return router


def _shown(number: str, stored: StoredCard, events: dict[int, bytes]) -> dict[str, object]:
    recorded_at = {at: msgspec.json.decode(event)["recordedat"] for at, event in events.items()}
    blocked_at = stored.blocked_position
    return {
        "card": number,
        "member": stored.card.member,
        "blocked": stored.card.is_blocked,
        "position": stored.position,
        "known_at": recorded_at[stored.position],
        "blocked_at": None if blocked_at is None else recorded_at[blocked_at],
    }
