"""Holds as rows: what is set aside until when, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.runtime.clock import from_micros, micros
from services.runtime.database import Connection, Row

_COLUMNS = ("hold", "merchant", "id", "member", "expires_at", "state", "position")
_HOLDS = f"SELECT {', '.join(_COLUMNS)} FROM holds"  # noqa: S608
_BY_KEY = f"{_HOLDS} WHERE hold IN :keys"
_DUE = f"{_HOLDS} WHERE state = 'open' AND expires_at <= :now ORDER BY expires_at LIMIT :limit"


class State(StrEnum):
    """What became of a hold."""

    OPEN = "open"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold that was recorded."""

    hold: bytes  # its command
    merchant: str
    id: str
    member: str
    expires_at: datetime
    state: State
    position: int  # of the event that set the points aside


def load_holds(connection: Connection, holds: Sequence[bytes]) -> dict[bytes, Hold]:
    """These holds, as far as they exist."""
    return {found.hold: found for found in map(_hold, connection.pick(_BY_KEY, holds))}


def load_holds_due(connection: Connection, *, now: datetime, limit: int) -> list[Hold]:
    """Open holds whose end has come, the earliest first."""
    return [_hold(row) for row in connection.rows(_DUE, {"now": micros(now), "limit": limit})]


def save_holds(connection: Connection, holds: Iterable[Hold]) -> None:
    """New ones, and what became of old ones."""
    rows: list[Row] = [
        (
            hold.hold,
            hold.merchant,
            hold.id,
            hold.member,
            micros(hold.expires_at),
            hold.state.value,
            hold.position,
        )
        for hold in holds
    ]
    connection.upsert("holds", _COLUMNS, rows, key=("hold",))


def _hold(row: Row) -> Hold:
    key, merchant, id_, member, expires_us, state, position = row
    return Hold(
        hold=bytes(key),
        merchant=merchant,
        id=id_,
        member=member,
        expires_at=from_micros(expires_us),
        state=State(state),
        position=position,
    )
