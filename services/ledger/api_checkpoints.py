"""The doors to checkpoints: what the log says of itself, and who vouches for it."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from services.ledger import witnesses
from services.ledger.signing import Seals
from services.ledger.views import proofs
from services.runtime.auth import Keys, Role, authenticated
from services.runtime.database import Database
from services.runtime.notes import NAME
from services.runtime.openapi import gives
from services.runtime.problems import Problem
from services.runtime.web import answer, body

_TEXT = "text/plain"
_NOTE_BYTES_MAX = 64 << 10
_NOTE: dict[str, Any] = {_TEXT: {"schema": {"type": "string"}}}
_REFUSALS = {
    400: "not-a-note",
    403: "witness-unknown",
    409: "other-checkpoint",
    422: "bad-signature",
}

_Witness = Annotated[
    str | None,
    Query(pattern=f"^{NAME.pattern}$", description="The newest that this one has signed too."),
]


def routes(database: Database, keys: Keys, seals: Seals) -> APIRouter:
    """Every key may read; a witness is known by its signature, whatever key it comes with."""
    anyone = [Depends(authenticated(keys, *Role))]
    router = APIRouter(prefix="/v1", tags=["proofs"], dependencies=anyone)

    @router.get(
        "/checkpoint",
        responses={
            200: {"description": "A signed note (C2SP tlog-checkpoint).", "content": _NOTE},
            **gives({}, {404: "no-checkpoint"}),
        },
    )
    def get_checkpoint(witness: _Witness = None) -> Response:
        """Size and root of the log's tree, signed; witnesses who signed the same stand below."""
        with database.read() as connection:
            if witness is None:
                note = proofs.checkpoint(connection)
            else:
                note = witnesses.newest(connection, witness)
        if note is None:
            raise no_checkpoint()
        return Response(str(note), headers={"Cache-Control": "no-cache"}, media_type=_TEXT)

    @router.get("/checkpoint/keys", responses=gives({200: ("The keys.", "answers/signing-keys")}))
    def get_checkpoint_keys() -> Response:
        """The public keys that sign checkpoints, those that did, and those that sign documents."""
        documents = [str(signer.verifier) for signer in seals.signers]
        with database.read() as connection:
            found = {"items": proofs.keys(connection), "next": None, "documents": documents}
        return answer(found)

    @router.post(
        "/checkpoint/cosignatures",
        status_code=204,
        openapi_extra={"requestBody": {"required": True, "content": _NOTE}},
        responses={204: {"description": "Kept."}, **gives({}, _REFUSALS)},
    )
    async def post_cosignature(request: Request) -> Response:
        """A checkpoint of ours, with a line of a witness below it (C2SP tlog-cosignature)."""
        raw = await body(request, limit_bytes=_NOTE_BYTES_MAX, types=(_TEXT,))
        await asyncio.to_thread(witnesses.keep, database, raw, seals.witnesses)
        return Response(status_code=204)

    return router


def no_checkpoint() -> Problem:
    """Nothing is signed: no key was ever set, or this witness has not come by yet."""
    return Problem(404, "no-checkpoint", "there is no such signed checkpoint")
