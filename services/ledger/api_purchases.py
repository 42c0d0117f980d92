"""The doors to what was recorded: a purchase as it was sent, and why an entry stands there.

They are plain ``def``: the database blocks, so they run on threads.
"""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from services.ledger.api_members import place
from services.ledger.views.genealogy import Reader, became, earned_lots, lots_of
from services.ledger.views.purchases import purchase
from services.ledger.views.why import why
from services.runtime.auth import Keys, Principal, Role, acting_merchant, authenticated
from services.runtime.clock import Clock
from services.runtime.database import Database
from services.runtime.eventlog import EventLog
from services.runtime.openapi import MERCHANT, gives
from services.runtime.problems import Problem
from services.runtime.web import Paging, PathId, answer

_Place = Annotated[
    int, Query(ge=0, le=2**53 - 1, description="`next` of the answer before, if it was long.")
]


def routes(database: Database, clock: Clock, keys: Keys) -> APIRouter:
    """A merchant's key reads what this merchant sold."""
    router = APIRouter(prefix="/v1", tags=["points"])
    reader = Annotated[Principal, Depends(authenticated(keys, *Role))]
    log = EventLog(database)

    @router.get(
        "/purchases/{purchase_id}",
        openapi_extra={"parameters": [MERCHANT]},
        responses=gives({200: ("The purchase.", "answers/purchase")}, {404: "unknown-purchase"}),
    )
    def get_purchase(request: Request, who: reader, purchase_id: PathId) -> Response:
        """A purchase as it was recorded, with what came back of it."""
        merchant = acting_merchant(request, who)
        with database.read() as connection:
            found = purchase(connection, log, merchant=merchant, purchase_id=purchase_id)
        if found is None:
            raise Problem(404, "unknown-purchase", f"{merchant} recorded no {purchase_id}")
        return answer(found)

    @router.get(
        "/purchases/{purchase_id}/points",
        openapi_extra={"parameters": [MERCHANT]},
        responses=gives(
            {200: ("Its lots, and what became of them.", "answers/purchase-points")},
            {404: "unknown-purchase"},
        ),
    )
    def get_points(request: Request, who: reader, purchase_id: PathId, page: Paging) -> Response:
        """The lots that a purchase earned, and everything that their points paid for."""
        merchant, after = acting_merchant(request, who), place(page)
        with database.read() as connection:
            bought = purchase(connection, log, merchant=merchant, purchase_id=purchase_id)
            if bought is None:
                raise Problem(404, "unknown-purchase", f"{merchant} recorded no {purchase_id}")
            asking = Reader(connection, log, merchant)
            lots = lots_of(asking, merchant=merchant, purchase_id=purchase_id)
            earned = earned_lots(asking, lots, now=clock())
            found = became(asking, lots, after=after, limit=page.limit)
        return answer(
            {
                "purchase": purchase_id,
                "merchant": merchant,
                "lots": earned,
                "items": found.items,
                "next": None if found.next is None else str(found.next),
            }
        )

    @router.get(
        "/entries/{entry_id}/why",
        responses=gives({200: ("Why.", "answers/why")}, {404: "unknown-entry"}),
    )
    def get_why(who: reader, entry_id: UUID, after: _Place = 0) -> Response:
        """Purchase, rule, arithmetic, lots, until when; and on to what the points paid for."""
        with database.read() as connection:
            found = why(connection, log, entry_id.bytes, merchant=who.merchant, after=after)
        if found is None:
            raise Problem(404, "unknown-entry", f"no points moved under the id {entry_id}")
        return answer(found)

    return router
