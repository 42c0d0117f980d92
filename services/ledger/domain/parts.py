"""What events are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LotPoints:
    """Some points of one lot."""

    lot: str
    points: int  # > 0
    merchant: str | None = None  # who issued the lot, where it is not the event's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The rule that a movement of points follows, so that it can always be explained."""

    programme: str
    version: int
    rule: str
    arithmetic: Mapping[str, object]  # the rule's own sum, as rewards worked it out


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """With whose key something was asked for."""

    key: str  # its id
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfLots:
    """Moves points of one lot or of several."""

    lots: tuple[LotPoints, ...]  # in the order of spending; of what is given back, of giving

    @property
    def points(self) -> int:
        """All points moved."""
        return sum(part.points for part in self.lots)
