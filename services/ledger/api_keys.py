"""The doors to keys: who may do what."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from services.ledger.keys import StoredKeys
from services.runtime.auth import Principal, Role, authenticated
from services.runtime.contracts import Contract
from services.runtime.openapi import gives, takes
from services.runtime.problems import Problem
from services.runtime.web import Paging, PathId, answer, content

_OF_ONE_MERCHANT = (Role.TILL, Role.MERCHANT)


def routes(keys: StoredKeys) -> APIRouter:
    """The operator makes and revokes keys; every key may ask whose it is."""
    router = APIRouter(prefix="/v1/keys", tags=["operations"])
    anyone = Annotated[Principal, Depends(authenticated(keys, *Role))]
    reader = [Depends(authenticated(keys, Role.OPERATOR, Role.AUDITOR))]
    operator = [Depends(authenticated(keys, Role.OPERATOR))]

    @router.post(
        "",
        status_code=201,
        dependencies=operator,
        openapi_extra=takes("commands/key"),
        responses=gives({201: ("The key, shown this once.", "answers/key")}),
    )
    async def post_key(request: Request) -> Response:
        """Make a key. Only its hash is kept."""
        asked = await content(request, Contract.of("commands/key"))
        role = Role(asked["role"])
        merchant = asked.get("merchant") if role in _OF_ONE_MERCHANT else None
        secret, key = await asyncio.to_thread(
            keys.create, role=role, merchant=merchant, name=asked.get("name")
        )
        return answer({**key, "key": secret}, 201)

    @router.get("", dependencies=reader, responses=gives({200: ("Keys.", "answers/keys")}))
    def get_keys(page: Paging) -> Response:
        """Every key, without its secret; revoked ones too."""
        found = keys.page(after=page.after or "", limit=page.limit + 1)
        next_ = found[page.limit - 1]["id"] if len(found) > page.limit else None
        return answer({"items": found[: page.limit], "next": next_})

    @router.get("/self", responses=gives({200: ("Whose it is.", "answers/principal")}))
    async def get_self(who: anyone) -> Response:
        """Whose key this request carries."""
        return answer(who)

    @router.delete(
        "/{key_id}",
        status_code=204,
        dependencies=operator,
        responses={204: {"description": "Out of force."}, **gives({}, {404: "unknown-key"})},
    )
    def delete_key(key_id: PathId) -> Response:
        """Take a key out of force, for good."""
        if not keys.revoke(key_id):
            raise Problem(404, "unknown-key", f"no key has the id {key_id}")
        return Response(status_code=204)

    return router
