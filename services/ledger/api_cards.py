"""The door to cards: whom a number leads to, and whether it still does."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends
from starlette.responses import Response

from services.ledger.store.belongings import StoredCard, list_cards, load_cards
from services.runtime.auth import Keys, Principal, Role, authenticated
from services.runtime.database import Connection, Database
from services.runtime.eventlog import EventLog
from services.runtime.openapi import gives
from services.runtime.problems import Problem
from services.runtime.web import Paging, PathId, answer


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
            found = _shown(connection, log, load_cards(connection, [number]))
        if not found:
            raise Problem(404, "unknown-card", f"there is no card {number}")
        return answer(found[0])

    @router.get("/members/{member}/cards", responses=gives({200: ("The cards.", "answers/cards")}))
    def get_cards(_: reader, member: PathId, page: Paging) -> Response:
        """A member's cards by number, blocked ones too: what to block when one is lost."""
        with database.read() as connection:
            cards = list_cards(connection, member, after=page.after or "", limit=page.limit + 1)
            found = _shown(connection, log, cards)
        items = found[: page.limit]
        next_ = items[-1]["card"] if len(found) > len(items) else None
        return answer({"items": items, "next": next_})

    return router


def _shown(
    connection: Connection, log: EventLog, cards: Mapping[str, StoredCard]
) -> list[dict[str, object]]:
    places = {at for each in cards.values() for at in (each.position, each.blocked_position) if at}
    events = log.at(connection, list(places))
    recorded_at = {at: msgspec.json.decode(event)["recordedat"] for at, event in events.items()}
    return [
        {
            "card": number,
            "member": stored.card.member,
            "blocked": stored.card.is_blocked,
            "position": stored.position,
            "known_at": recorded_at[stored.position],
            "blocked_at": stored.blocked_position and recorded_at[stored.blocked_position],
        }
        for number, stored in cards.items()
    ]
