"""The two times of a question: every balance, entry and report takes ``at`` and ``known_at``."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import BeforeValidator

from services.runtime.clock import parse_rfc3339

_YEAR_MIN, _YEAR_MAX = 1000, 8999


def _instant(text: str) -> datetime:
    """A ``+`` that was not escaped in a query arrives as a space."""
    at = parse_rfc3339(text.replace(" ", "+"))
    if not _YEAR_MIN <= at.year <= _YEAR_MAX:  # what the answer repeats has to keep its contract
        raise ValueError(f"lies beyond the years {_YEAR_MIN} to {_YEAR_MAX}")
    return at


Instant = Annotated[datetime, BeforeValidator(_instant)]


@dataclass(frozen=True, slots=True)
class AsOf:
    """The two times of a question: when it was true, when we knew it. None: now."""

    at: datetime | None
    known_at: datetime | None


async def _as_of(
    at: Annotated[Instant | None, Query(description="When it was true; left out: now.")] = None,
    known_at: Annotated[
        Instant | None, Query(description="When we knew it; left out: now.")
    ] = None,
) -> AsOf:
    return AsOf(at, known_at)


# For the signatures of routes; refuses with 422 and {parameter, code, detail}.
Times = Annotated[AsOf, Depends(_as_of)]
