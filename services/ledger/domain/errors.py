"""Every way in which the ledger says no. The docstring is the title that users read."""

from __future__ import annotations

from typing import ClassVar


class Refused(Exception):
    """The ledger declined."""

    code: ClassVar[str]


class NotEnoughPoints(Refused):
    """The member's unexpired lots do not cover the price."""

    code = "not-enough-points"

    def __init__(self, *, points_asked: int, points_available: int) -> None:
        super().__init__(f"asked for {points_asked} points, {points_available} available")
        self.points_asked = points_asked
        self.points_available = points_available


class UnknownHold(Refused):
    """There is no such hold to capture or release."""

    code = "unknown-hold"


class HoldHasEnded(Refused):
    """A hold sets points aside until its end, and no longer."""

    code = "hold-expired"

    def __init__(self, hold: str, why: str) -> None:
        super().__init__(f"hold {hold}: {why}")
        self.hold = hold


class HoldIsCaptured(Refused):
    """What was set aside has been spent."""

    code = "hold-captured"


class HoldIsReleased(Refused):
    """What was set aside has been given back."""

    code = "hold-released"


class CaptureTooLarge(Refused):
    """A capture spends no more than was set aside."""

    code = "capture-too-large"

    def __init__(self, *, points_asked: int, points_held: int) -> None:
        super().__init__(f"asked to capture {points_asked} points, {points_held} are held")
        self.points_asked = points_asked
        self.points_held = points_held


class PointsSpent(Refused):
    """The points of what comes back are spent, and the programme takes no such return."""

    code = "points-spent"

    def __init__(self, *, points_asked: int, points_available: int) -> None:
        super().__init__(
            f"up to {points_asked} points would be taken back, {points_available} are left"
        )
        self.points_asked = points_asked
        self.points_available = points_available


class UnknownRedemption(Refused):
    """There is no such redemption to reverse."""

    code = "unknown-redemption"


class ReversalTooLarge(Refused):
    """A reversal gives back no more than was spent."""

    code = "reversal-too-large"

    def __init__(self, *, points_asked: int, points_spent: int) -> None:
        super().__init__(f"asked to give back {points_asked} points, {points_spent} were spent")
        self.points_asked = points_asked
        self.points_spent = points_spent


class AboveTheLimit(Refused):
    """No single operator adjusts so many points at once."""

    code = "above-the-limit"

    def __init__(self, *, points_asked: int, limit: int) -> None:
        super().__init__(f"asked to adjust {points_asked} points, the limit is {limit}")
        self.points_asked = points_asked
        self.limit = limit


class ExpiryInThePast(Refused):
    """Points that have ended already are not granted."""

    code = "expiry-in-the-past"


class UnknownPurchase(Refused):
    """The purchase never arrived."""

    code = "unknown-purchase"


class NotAStrangers(Refused):
    """The purchase had a member from the start."""

    code = "not-a-strangers"


class AlreadyClaimed(Refused):
    """A purchase is claimed once, by one member."""

    code = "already-claimed"


class UnknownCard(Refused):
    """No member was ever given a card with this number."""

    code = "unknown-card"


class BlockedCard(Refused):
    """A blocked card leads nowhere any more."""

    code = "card-blocked"


class CardTaken(Refused):
    """A card's number leads to one member, for good."""

    code = "card-taken"


class UnknownLine(Refused):
    """The purchase has no such line."""

    code = "unknown-line"

    def __init__(self, line: str) -> None:
        super().__init__(f"the purchase has no line {line!r}")
        self.line = line


class ReturnTooLarge(Refused):
    """More would come back than was bought and not yet returned."""

    code = "return-too-large"

    def __init__(self, line: str, *, what: str, asked: int, left: int) -> None:
        super().__init__(f"line {line!r}: {what} {asked} asked, {left} left to return")
        self.line = line
        self.what = what
        self.asked = asked
        self.left = left


class ReturnTooEarly(Refused):
    """Nothing comes back before it was bought."""

    code = "return-before-purchase"


class UnknownLot(Refused):
    """The lot does not exist, so nothing can be taken from it."""

    code = "unknown-lot"


class NothingToDo(Refused):
    """The command found nothing left to do; somebody was faster."""

    code = "nothing-to-do"
