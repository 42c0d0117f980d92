"""What an endpoint asked for, and which events that means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.notify.domain.retries import Health

_TYPE = re.compile(r"stampbook\.(.+)\.v[0-9]+")


class Ordering(StrEnum):
    """How an endpoint wants its events."""

    MEMBER = "member"  # a member's events one after another
    NONE = "none"  # as fast as they go


class EndpointState(StrEnum):
    """Whether anything is sent."""

    ACTIVE = "active"
    PAUSED = "paused"  # events wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address that events are sent to."""

    number: int  # ours, never used twice
    owner: str  # the merchant; empty: the operator, who sees all events
    id: str
    url: str
    types: tuple[str, ...]
    ordering: Ordering
    state: EndpointState
    secret: str
    began_after: int  # position
    created_at: datetime
    health: Health

    def sees(self, *, merchant: str | None, name: str) -> bool:
        """Whether an event concerns it."""
        return self.owner in {"", merchant} and is_wanted(name, self.types)


def short_name(event_type: str) -> str:
    """``points.earned`` of ``stampbook.points.earned.v1``; foreign types stay as they are."""
    found = _TYPE.fullmatch(event_type)
    return found[1] if found else event_type


def is_wanted(name: str, patterns: Iterable[str]) -> bool:
    """Whether an event's short name fits one of the patterns: itself, ``points.*`` or ``*``."""
    return any(
        pattern in {"*", name} or (pattern.endswith(".*") and name.startswith(pattern[:-1]))
        for pattern in patterns
    )
