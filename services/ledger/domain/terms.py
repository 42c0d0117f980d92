"""What the programme promises of points beyond how many there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final


class Shortfall(StrEnum):
    """What happens when a return takes back points that are spent already."""

    OWE = "owe"  # the balance is negative; the next points repay it
    WRITE_OFF = "write-off"  # they are forgiven, in an account of their own
    REFUSE = "refuse"  # the return is declined


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the programme promised of a lot on the day it was earned; it stays with the lot."""

    rank: int = 0  # >= 0; the lower is spent first, whatever its end
    shortfall: Shortfall = Shortfall.OWE
    grace: timedelta | None = None  # for points restored after the lot's end; None: none


STANDARD: Final = Terms()
