"""The doors to the books as a whole: the trial balance, and what merchants owe.

They are plain ``def``: the database blocks, so they run on threads.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from services.ledger.store.totals import month_of
from services.ledger.views import settlements, trial_balance
from services.ledger.views.story import Moment
from services.runtime.as_of import Instant, Times
from services.runtime.auth import Keys, Principal, Role, authenticated
from services.runtime.clock import Clock, rfc3339
from services.runtime.database import Database
from services.runtime.openapi import gives
from services.runtime.problems import bad_parameter
from services.runtime.web import Page, Paging, answer

_PAIR_PARTS = 3
_MONTH = "^[1-8][0-9]{3}-(0[1-9]|1[0-2])$"
Month = Annotated[str, Path(pattern=_MONTH, description="A month, YYYY-MM.")]
KnownAt = Annotated[Instant | None, Query(description="When we knew it; left out: now.")]


def routes(database: Database, clock: Clock, keys: Keys) -> APIRouter:
    """The operator and an auditor see everything, a merchant what it is part of."""
    router = APIRouter(prefix="/v1", tags=["reports"])
    auditor = Annotated[Principal, Depends(authenticated(keys, Role.OPERATOR, Role.AUDITOR))]
    owners = (Role.MERCHANT, Role.OPERATOR, Role.AUDITOR)
    owner = Annotated[Principal, Depends(authenticated(keys, *owners))]

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

    @router.get(
        "/settlements/{month}",
        responses=gives({200: ("By issuer, redeemer and unit.", "answers/settlements")}),
    )
    def get_settlements(
        who: owner, month: Month, page: Paging, known_at: KnownAt = None
    ) -> Response:
        """What merchants owe one another for points that one issued and another took."""
        now = clock()
        known = trial_balance.counted(known_at, now=now)
        known_until = None if month_of(known) > month or known == now else known
        asked = settlements.Asked(month, known_until, who.merchant)
        with database.read() as connection:
            lines, next_ = settlements.settlements(
                connection, asked, after=_pair(page), limit=page.limit
            )
        return answer(
            {
                "month": month,
                "is_over": month < month_of(now),
                "known_at": rfc3339(known),
                "items": lines,
                "next": None if next_ is None else "/".join(next_),
            }
        )

    return router


def _pair(page: Page) -> settlements.Pair:
    """Where in the list a page begins."""
    if page.after is None:
        return settlements.FIRST
    parts = page.after.split("/")
    if len(parts) != _PAIR_PARTS:
        raise bad_parameter("after", "malformed", "take `next` of the page before")
    return (parts[0], parts[1], parts[2])
