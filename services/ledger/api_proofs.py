"""The doors to proofs, and to the tiles of hashes from which anybody computes others.

Tiles lie as C2SP tlog-tiles says, below ``/v1``. Every key may read them: a hash tells nothing to
whom does not know the event already.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from services.ledger.api_checkpoints import no_checkpoint
from services.ledger.views import log, proofs
from services.runtime.auth import Keys, Principal, Role, authenticated
from services.runtime.database import Database
from services.runtime.merkle import TILE_WIDTH
from services.runtime.openapi import gives
from services.runtime.problems import Problem, bad_parameter
from services.runtime.web import ID_PATTERN, answer

_BYTES = "application/octet-stream"
_POSITION_MAX = 2**53 - 1
_LEVEL_MAX = 6  # of the largest number that JSON can name
# x001/x234/067 is number 1,234,067; a suffix is the width of a tile that is not full.
_TILE = r"^(x[0-9]{3}/){0,5}[0-9]{3}(\.p/([1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5]))?$"
_TILE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Hashes of 32 bytes each.",
        "content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}},
    },
    **gives({}, {404: "no-tile"}),
}

_Position = Annotated[int, Query(ge=1, le=_POSITION_MAX, description="Of the event.")]
_Size = Annotated[
    int | None,
    Query(ge=1, le=_POSITION_MAX, description="Of the tree; left out: the newest checkpoint's."),
]
_From = Annotated[
    int, Query(alias="from", ge=0, le=_POSITION_MAX, description="Size of the older tree.")
]
_To = Annotated[
    int | None,
    Query(
        alias="to",
        ge=0,
        le=_POSITION_MAX,
        description="Size of the newer tree; left out: the newest checkpoint's.",
    ),
]
_Level = Annotated[int, Path(ge=0, le=_LEVEL_MAX, description="0: hashes of events.")]
_Number = Annotated[
    str, Path(pattern=_TILE, description="`x001/x234/067`, `067`; `067.p/12`: 12 hashes of it.")
]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which events somebody wants to keep with their proofs."""

    after: Annotated[int, Query(ge=0, le=_POSITION_MAX, description="Positions above this.")] = 0
    type: Annotated[
        str | None,
        Query(pattern=log.TYPE_PATTERN, max_length=128, description="As of GET /v1/events."),
    ] = None
    member: Annotated[str | None, Query(pattern=ID_PATTERN, description="Only this member's.")] = (
        None
    )
    limit: Annotated[int, Query(ge=1, le=1000, description="Events at most.")] = 100


def routes(database: Database, keys: Keys) -> APIRouter:
    """Every key may ask for any proof; events themselves are for those who may see them."""
    reader = Annotated[Principal, Depends(authenticated(keys, *Role))]
    anyone = [Depends(authenticated(keys, *Role))]
    router = APIRouter(prefix="/v1", tags=["proofs"], dependencies=anyone)

    @router.get(
        "/proofs/inclusion", responses=gives({200: ("The proof.", "answers/inclusion-proof")})
    )
    def get_inclusion(position: _Position, size: _Size = None) -> Response:
        """What proves that an event is in the log."""
        with _in_reach(), database.read() as connection:
            return _canonical(proofs.proof_of_inclusion(connection, position, size))

    @router.get(
        "/proofs/consistency", responses=gives({200: ("The proof.", "answers/consistency-proof")})
    )
    def get_consistency(old: _From, new: _To = None) -> Response:
        """What proves that the log has only grown between two sizes."""
        with _in_reach(), database.read() as connection:
            return _canonical(proofs.proof_of_consistency(connection, old, new))

    @router.get(
        "/proofs/events",
        responses=gives({200: ("A file to keep.", "proof-bundle")}, {404: "no-checkpoint"}),
    )
    def get_events(who: reader, wanted: Annotated[_Wanted, Depends()]) -> Response:
        """Events with what proves them, to be checked without us: examples/verify_offline.py.

        The header `Stampbook-Next` says where to go on, with `after`.
        """
        query = log.Query(type=wanted.type, member=wanted.member, merchant=who.merchant)
        with database.read() as connection:
            page = log.page(connection, query, after=wanted.after, limit=wanted.limit)
            found = proofs.bundle(connection, page.events)
        if found is None:
            raise no_checkpoint()
        return _canonical(found, {"Stampbook-Next": str(page.next)})

    @router.get("/tile/{level}/{number:path}", responses=_TILE_ANSWERS)
    def get_tile(level: _Level, number: _Number) -> Response:
        """Consecutive hashes of one level of the tree; they never change."""
        path, _, width = number.partition(".p/")
        index = int(path.replace("x", "").replace("/", ""))
        with database.read() as connection:
            hashes = proofs.tile(connection, level, index, int(width or TILE_WIDTH))
        if hashes is None:
            raise Problem(404, "no-tile", f"the tree has no tile {level}/{number}")
        for_ever = {"Cache-Control": "private, max-age=31536000, immutable"}
        return Response(hashes, headers=for_ever, media_type=_BYTES)

    return router


@contextmanager
def _in_reach() -> Iterator[None]:
    try:
        yield
    except proofs.BeyondTheTree as beyond:
        raise bad_parameter(beyond.parameter, "out-of-range", str(beyond)) from beyond


def _canonical(found: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """Written in the one way that the offline verifier takes: no byte of it is idle."""
    return answer(msgspec.json.encode(found, order="sorted"), headers=headers)
