"""The doors to the auditor's readings: the whole log is read again while the asker looks on."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.requests import Request
from starlette.responses import Response

from services.ledger.reading import Progress, Readings, described
from services.ledger.rebuild import VIEWS, Comparison, compare, switch
from services.ledger.replay import Inconsistent
from services.ledger.verify import Verdict, verify
from services.runtime.auth import Keys, Role, authenticated
from services.runtime.clock import utc_now
from services.runtime.database import Database
from services.runtime.openapi import gives
from services.runtime.problems import Problem

_ANSWER = described() | gives({}, {409: "already-reading"})
_OF_A_VIEW = described() | gives({}, {404: "unknown-view", 409: "already-reading"})

View = Annotated[str, Path(description=f"One of {', '.join(VIEWS)}.")]


def routes(database: Database, keys: Keys) -> APIRouter:
    """What the operator's key and the auditor's can ask for at any time."""
    router = APIRouter(prefix="/v1", tags=["operations"])
    reader = [Depends(authenticated(keys, Role.OPERATOR, Role.AUDITOR))]
    operator = [Depends(authenticated(keys, Role.OPERATOR))]
    readings = Readings()

    @router.get("/verification", dependencies=reader, responses=_ANSWER)
    async def get_verification(request: Request) -> Response:
        """Read every event, hash and posting again, and compare with what is kept beside them."""

        def read(progress: Progress) -> Verdict:
            return verify(database, progress=progress)

        return readings.answer(request, read)

    @router.get("/views/{view}/comparison", dependencies=reader, responses=_OF_A_VIEW)
    async def get_comparison(request: Request, view: View) -> Response:
        """Rebuild a view from the log beside the one in use, and compare row by row."""
        return readings.answer(request, partial(_compared, database, _known(view)))

    @router.post("/views/{view}/switch", dependencies=operator, responses=_OF_A_VIEW)
    async def post_switch(request: Request, view: View) -> Response:
        """Rebuild a view, and put the rebuilt one in place; who records waits meanwhile."""
        return readings.answer(request, partial(_switched, database, _known(view)))

    return router


def _known(view: str) -> str:
    if view not in VIEWS:
        raise Problem(404, "unknown-view", f"there is no view {view}; there are {', '.join(VIEWS)}")
    return view


def _compared(database: Database, view: str, progress: Progress) -> Comparison | Verdict:
    try:
        return compare(database, view, progress=progress)
    except (Inconsistent, ValueError) as error:
        return _damaged(error)


def _switched(database: Database, view: str, progress: Progress) -> Comparison | Verdict:
    try:
        return switch(database, view, now=utc_now(), progress=progress)
    except (Inconsistent, ValueError) as error:
        return _damaged(error)


def _damaged(error: Exception) -> Verdict:
    """Nothing can be rebuilt from a log that is not sound."""
    position = error.position if isinstance(error, Inconsistent) else None
    return Verdict(ok=False, events=0, position=position, fault="lots", detail=str(error))
