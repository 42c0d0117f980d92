"""What became of a command, as the doors say it."""

import asyncio
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.requests import Request
from starlette.responses import Response

from services.ledger.application import IdReused
from services.ledger.domain.errors import Refused
from services.ledger.intake import Command, key_of
from services.ledger.kinds import KINDS
from services.ledger.reception import Reception
from services.ledger.store.belongings import load_cards, load_claims
from services.ledger.store.outcomes import Outcome, load_outcomes
from services.runtime.auth import Keys, Principal, Role, acting_merchant, authenticated
from services.runtime.database import Connection, Database
from services.runtime.openapi import MERCHANT, gives
from services.runtime.problems import Problem
from services.runtime.web import answer

_PATH_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}(/[A-Za-z0-9][A-Za-z0-9._~-]{0,63})?$"
_TITLES = {refused.code: refused.__doc__ for refused in Refused.__subclasses__()}

OutcomeId = Annotated[
    str, Path(pattern=_PATH_PATTERN, description="The command's id: as Location named it.")
]


Type = StrEnum("Type", [(name.upper().replace("-", "_"), name) for name in KINDS])  # type: ignore[misc]


def routes(reception: Reception, keys: Keys, database: Database) -> APIRouter:
    """Where whoever did not wait asks later."""
    router = APIRouter(prefix="/v1", tags=["commands"])
    reader = Annotated[Principal, Depends(authenticated(keys, *Role))]

    def find(source: str, type_: str, id_: str) -> Outcome | None:
        key = key_of(source, type_, id_)
        with database.read() as connection:
            if KINDS[type_].asks_for_state and "/" not in id_:
                return _of_state(connection, source, type_, id_)
            return load_outcomes(connection, [key]).get(key)

    @router.get(
        "/outcomes/{command_type}/{command_id:path}",
        openapi_extra={"parameters": [MERCHANT]},
        responses=gives({200: ("What became of it.", "outcome")}, {404: "unknown-outcome"}),
    )
    async def get_outcome(
        request: Request, who: reader, command_type: Type, command_id: OutcomeId
    ) -> Response:
        """Accepted, recorded or declined, and why."""
        unknown = Problem(404, "unknown-outcome", f"no {command_type} {command_id} was taken in")
        source = KINDS[command_type].source
        if source is None:
            source = acting_merchant(request, who)
        elif who.merchant is not None:  # what Stampbook commands itself is no merchant's
            raise unknown
        key = key_of(source, command_type, command_id)
        outcome = await asyncio.to_thread(find, source, command_type, command_id)
        if outcome is None and not reception.was_accepted(key):
            raise unknown
        return answer(shown(command_type, command_id, outcome))

    return router


def _of_state(connection: Connection, source: str, type_: str, id_: str) -> Outcome | None:
    """Of what asks for a state, whoever asked and when: what made it so."""
    if type_ == "card":
        cards = load_cards(connection, [id_]).values()
        positions = [card.blocked_position or card.position for card in cards]
    else:
        claims = load_claims(connection, [key_of(source, "purchase", id_)]).values()
        positions = [claim.position for claim in claims]
    return Outcome(b"", "recorded", first_position=positions[0]) if positions else None


def shown(type_: str, id_: str, outcome: Outcome | None) -> dict[str, object]:
    """An outcome; None: accepted, and not decided yet. Of many askings the answer is the same."""
    if KINDS[type_].asks_for_state:
        id_ = id_.partition("/")[0]
    if outcome is None:
        return {"type": type_, "id": id_, "outcome": "accepted", "positions": []}
    line: dict[str, object] = {"type": type_, "id": id_, "outcome": outcome.outcome}
    if outcome.code is not None:
        line |= {"code": outcome.code, "detail": outcome.detail}
    line["positions"] = outcome.positions
    return line


def declined(outcome: Outcome) -> Problem:
    """A refusal, as who waited for it is told."""
    assert outcome.code is not None, "who declines says why"
    return Problem(409, outcome.code, str(outcome.detail), title=_TITLES.get(outcome.code))


def id_reused(taken: Command) -> Problem:
    """What was sent first stands."""
    detail = f"{taken.type} {taken.id} was sent before with other content"
    return Problem(409, IdReused.code, detail, title=IdReused.__doc__)
