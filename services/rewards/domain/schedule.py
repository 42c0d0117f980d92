"""Which version of a programme holds when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """A version's time: it holds from ``activated_at`` until a later one does, or it is retired.

    Intervals are half-open: at ``retired_at`` itself it no longer holds.
    """

    version: int
    activated_at: datetime
    retired_at: datetime | None = None

    @property
    def is_withdrawn(self) -> bool:
        """Retired before it ever held: it counts for nothing."""
        return self.retired_at is not None and self.retired_at <= self.activated_at


class State(StrEnum):
    """Where a version stands."""

    DRAFT = "draft"  # written down, never activated
    SCHEDULED = "scheduled"
    ACTIVE = "active"
    SUPERSEDED = "superseded"
    RETIRED = "retired"


def version_in_force(activations: Iterable[Activation], *, at: datetime) -> int | None:
    """The version that holds at an instant: the one activated last. None: none, or retired."""
    begun = [a for a in activations if a.activated_at <= at and not a.is_withdrawn]
    if not begun:
        return None
    newest = max(begun, key=_order)
    is_over = newest.retired_at is not None and newest.retired_at <= at
    return None if is_over else newest.version


def version_for_purchase(
    activations: Iterable[Activation], *, purchased_at: datetime, recorded_at: datetime
) -> int | None:
    """The version whose rules a purchase falls under.

    That is the one in force when it was made. A purchase from before the programme's first day
    falls under the first version, so that a shop can import its history; but only if it was
    recorded after that day: until then the programme has not begun.
    """
    held = [a for a in activations if not a.is_withdrawn]
    first = min(held, key=_order, default=None)
    if first is not None and purchased_at < first.activated_at <= recorded_at:
        return first.version
    return version_in_force(held, at=purchased_at)


def state_of(version: int, activations: Iterable[Activation], *, now: datetime) -> State:
    """Where a version stands now."""
    by_version = {a.version: a for a in activations}
    own = by_version.get(version)
    if own is None:
        return State.DRAFT
    if own.retired_at is not None and own.retired_at <= now:
        return State.RETIRED
    if own.activated_at > now:
        return State.SCHEDULED
    in_force = version_in_force(by_version.values(), at=now)
    return State.ACTIVE if in_force == version else State.SUPERSEDED


def _order(activation: Activation) -> tuple[datetime, int]:
    """Of two that begin in the same instant the higher version is the newer word."""
    return activation.activated_at, activation.version
