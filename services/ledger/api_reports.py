"""The doors to the books as a whole: the trial balance.

They are plain ``def``: the database blocks, so they run on threads.
"""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from services.ledger.views import trial_balance
from services.ledger.views.story import Moment
from services.runtime.as_of import Times
from services.runtime.auth import Keys, Principal, Role, authenticated
from services.runtime.clock import Clock, rfc3339
from services.runtime.database import Database
from services.runtime.openapi import gives
from services.runtime.web import answer


def routes(database: Database, clock: Clock, keys: Keys) -> APIRouter:
    """The operator and an auditor see everything."""
    router = APIRouter(prefix="/v1", tags=["reports"])
    auditor = Annotated[Principal, Depends(authenticated(keys, Role.OPERATOR, Role.AUDITOR))]

    @router.get(
        "/trial-balance",
        responses=gives({200: ("By unit and account.", "answers/trial-balance")}),
    )
    def get_trial_balance(_: auditor, times: Times) -> Response:
        """What stands on every account, or stood; the accounts of a unit sum to zero."""
        now = clock()
        at = trial_balance.counted(times.at, now=now)
        known_at = trial_balance.counted(times.known_at, now=now)
        with database.read() as connection:
            units = trial_balance.trial_balance(connection, Moment(at, known_at), now=now)
        return answer({"at": rfc3339(at), "known_at": rfc3339(known_at), "units": units})

    return router
