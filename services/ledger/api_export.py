"""The door for whoever takes the ledger away: all that its log alone does not say."""

from fastapi import APIRouter, Depends
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from services.ledger.archive import beside
from services.runtime.auth import Keys, Role, authenticated
from services.runtime.database import Database
from services.runtime.web import NDJSON, ndjson


def routes(database: Database, keys: Keys) -> APIRouter:
    """The events themselves come from ``/v1/events``."""
    router = APIRouter(prefix="/v1", tags=["operations"])
    operator = [Depends(authenticated(keys, Role.OPERATOR))]

    @router.get(
        "/export",
        dependencies=operator,
        responses={
            200: {
                "description": "First where the log ends, `{position, chain, root}`; then every "
                "row that does not follow from it, `{table, row}`, bytes in base64; last `{rows}`.",
                "content": {NDJSON: {"schema": {"type": "string"}}},
            }
        },
    )
    async def get_export(request: Request) -> Response:
        """Outcomes, waiting returns, keys' hashes, dead letters and checkpoints, as of now."""
        return ndjson(request, iterate_in_threadpool(line + b"\n" for line in beside(database)))

    return router
