"""The door to the auditor's reading: the whole log is read again while the asker looks on."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from services.ledger.verify import Verdict, verify
from services.runtime.auth import Keys, Role, authenticated
from services.runtime.database import Database
from services.runtime.web import NDJSON, ndjson

_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "How far it is, a line each, `{checked, of}`; last the verdict, `{ok, …}`.",
        "content": {NDJSON: {"schema": {"type": "string"}}},
    }
}


def routes(database: Database, keys: Keys) -> APIRouter:
    """What the operator's key and the auditor's can ask for at any time."""
    router = APIRouter(prefix="/v1", tags=["operations"])
    reader = [Depends(authenticated(keys, Role.OPERATOR, Role.AUDITOR))]

    @router.get("/verification", dependencies=reader, responses=_ANSWER)
    async def get_verification(request: Request) -> Response:
        """Read every event, hash and posting again, and compare with what is kept beside them."""
        return ndjson(request, _lines(database))

    return router


class _NobodyListens(Exception):
    """The asker is gone; there is no use in reading on."""


async def _lines(database: Database) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[dict[str, int] | None] = asyncio.Queue()
    is_left = threading.Event()

    def progress(checked: int, of: int) -> None:
        if is_left.is_set():
            raise _NobodyListens
        loop.call_soon_threadsafe(told.put_nowait, {"checked": checked, "of": of})

    reading = asyncio.ensure_future(asyncio.to_thread(verify, database, progress=progress))
    reading.add_done_callback(lambda _: told.put_nowait(None))
    try:
        while (line := await told.get()) is not None:
            yield msgspec.json.encode(line) + b"\n"
        yield _shown(reading.result())
    finally:
        is_left.set()
        reading.cancel()  # of no effect on what is done


def _shown(verdict: Verdict) -> bytes:
    found = msgspec.to_builtins(verdict)
    told = {name: value for name, value in found.items() if value is not None}
    return msgspec.json.encode(told) + b"\n"
