"""The doors to the books as a whole: the trial balance, and what merchants owe.

They are plain ``def``: the database blocks, so they run on threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from services.ledger.signing import SIGNED, signed
from services.ledger.store.totals import month_of
from services.ledger.views import settlements, trial_balance
from services.ledger.views.story import Moment
from services.runtime.as_of import Instant, Times
from services.runtime.auth import Keys, Principal, Role, authenticated
from services.runtime.clock import Clock, rfc3339
from services.runtime.database import Connection, Database
from services.runtime.notes import Signer
from services.runtime.openapi import gives
from services.runtime.problems import bad_parameter
from services.runtime.web import Page, Paging, answer

_PAIR_PARTS = 3
_MONTH = "^[1-8][0-9]{3}-(0[1-9]|1[0-2])$"
Month = Annotated[str, Path(pattern=_MONTH, description="A month, YYYY-MM.")]
KnownAt = Annotated[Instant | None, Query(description="When we knew it; left out: now.")]


def routes(
    database: Database, clock: Clock, keys: Keys, signers: Sequence[Signer] = ()
) -> APIRouter:
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
        asked = Settled(month, who.merchant, page, known_at)
        with database.read() as connection:
            return answer(settled(connection, asked, clock()))

    @router.get(
        "/settlements/{month}/signed",
        responses={**gives({}, {404: "not-signed"}), **SIGNED},
    )
    def get_signed(who: owner, month: Month, page: Paging, known_at: KnownAt = None) -> Response:
        """The same to be kept: signed, with the checkpoint of the log that it was made from."""
        asked = Settled(month, who.merchant, page, known_at)
        with database.read() as connection:
            document = settled(connection, asked, clock())
            return signed(connection, "settlement", document, (), signers)

    return router


@dataclass(frozen=True, slots=True)
class Settled:
    """Which settlement."""

    month: str
    merchant: str | None
    page: Page
    known_at: datetime | None


def settled(connection: Connection, asked: Settled, now: datetime) -> dict[str, Any]:
    """A page of what merchants owe one another."""
    known = trial_balance.counted(asked.known_at, now=now)
    known_until = None if month_of(known) > asked.month or known == now else known
    lines, next_ = settlements.settlements(
        connection,
        settlements.Asked(asked.month, known_until, asked.merchant),
        after=_pair(asked.page),
        limit=asked.page.limit,
    )
    return {
        "month": asked.month,
        "is_over": asked.month < month_of(now),
        "known_at": rfc3339(known),
        "items": lines,
        "next": None if next_ is None else "/".join(next_),
    }


def _pair(page: Page) -> settlements.Pair:
    """Where in the list a page begins."""
    if page.after is None:
        return settlements.FIRST
    parts = page.after.split("/")
    if len(parts) != _PAIR_PARTS:
        raise bad_parameter("after", "malformed", "take `next` of the page before")
    return (parts[0], parts[1], parts[2])
