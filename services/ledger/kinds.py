"""Every kind of command: who may ask for it, what it follows up, and where its answer waits.

The one list. What a kind's data look like stands in ``contracts/commands/NAME.schema.json``, how it
is decided in `application`, the door in `api_commands`; tests hold them against this list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class By(StrEnum):
    """Who asks; of what Stampbook asks itself, the source that the command bears."""

    MERCHANT = "merchant"  # the source is the merchant's own id
    OPERATOR = "operator"  # likewise: the merchant whom the operator acts for, with a named key
    REWARDS = "/rewards"
    CLOCK = "/clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What all commands of one type have in common."""

    name: str
    by: By
    follows: str | None = None  # a kind with the same id, or with the id's first part
    waits_s: float | None = None  # for the decision, unless the caller says otherwise
    is_empty_allowed: bool = False  # over REST no body means {}
    asks_for_state: bool = False  # its id is WHAT/ASK; over REST the door makes ASK up
    is_for_tills: bool = True  # whether a till's key may ask for it
    refusals: tuple[str, ...] = ()  # codes of 409, beside id-reused

    @property
    def source(self) -> str | None:
        """The source that every command of this kind bears; None: a merchant's id."""
        return self.by.value if self.by in (By.REWARDS, By.CLOCK) else None

    @property
    def needs_actor(self) -> bool:
        """Whether the log says with whose key it was asked for."""
        return self.by is By.OPERATOR


_TILL_WAITS_S: Final = 2.0
_OF_A_CARD: Final = ("unknown-card", "card-blocked")

KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(name="purchase", by=By.MERCHANT, refusals=_OF_A_CARD),
        Kind(
            name="return",
            by=By.MERCHANT,
            follows="purchase",
            refusals=(
                "unknown-line",
                "return-too-large",
                "return-before-purchase",
                "unknown-purchase",
                "points-spent",
            ),
        ),
        Kind(
            name="redemption",
            by=By.MERCHANT,
            waits_s=_TILL_WAITS_S,
            refusals=("not-enough-points", *_OF_A_CARD),
        ),
        Kind(
            name="reversal",
            by=By.MERCHANT,
            follows="redemption",
            waits_s=_TILL_WAITS_S,
            is_empty_allowed=True,
            refusals=("unknown-redemption", "reversal-too-large"),
        ),
        Kind(
            name="claim",
            by=By.MERCHANT,
            follows="purchase",
            waits_s=_TILL_WAITS_S,
            asks_for_state=True,
            refusals=("unknown-purchase", "not-a-strangers", "already-claimed"),
        ),
        Kind(
            name="card",
            by=By.MERCHANT,
            waits_s=_TILL_WAITS_S,
            asks_for_state=True,
            is_for_tills=False,
            refusals=("card-taken", "card-blocked"),
        ),
        Kind(
            name="hold",
            by=By.MERCHANT,
            waits_s=_TILL_WAITS_S,
            refusals=("not-enough-points", "hold-expired"),
        ),
        Kind(
            name="capture",
            by=By.MERCHANT,
            follows="hold",
            waits_s=_TILL_WAITS_S,
            is_empty_allowed=True,
            refusals=("unknown-hold", "capture-too-large", "hold-released", "hold-expired"),
        ),
        Kind(
            name="release",
            by=By.MERCHANT,
            follows="hold",
            waits_s=_TILL_WAITS_S,
            is_empty_allowed=True,
            refusals=("unknown-hold", "hold-captured", "hold-expired"),
        ),
        Kind(
            name="adjustment",
            by=By.OPERATOR,
            waits_s=_TILL_WAITS_S,
            refusals=("not-enough-points", "above-the-limit", "expiry-in-the-past"),
        ),
        Kind(name="award", by=By.REWARDS),
        Kind(name="take-back", by=By.REWARDS),
        Kind(name="credit", by=By.CLOCK),
        Kind(name="expiry", by=By.CLOCK),
        Kind(name="hold-expiry", by=By.CLOCK),
        Kind(name="lapse", by=By.CLOCK),
    )
}

FROM_OUTSIDE: Final = tuple(kind.name for kind in KINDS.values() if kind.source is None)
