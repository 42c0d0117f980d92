"""What may come back of a purchase: never more than was bought, whatever the order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.ledger.domain.errors import ReturnTooEarly, ReturnTooLarge, UnknownLine

SHIPPING = ""  # stands for the shipping among the lines; no line's name is empty


@dataclass(frozen=True, slots=True)
class Part:
    """How much of one line: pieces, and money in minor units."""

    quantity: int
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """What returns have to know of a purchase."""

    purchased_at: datetime
    currency: str
    bought: Mapping[str, Part]  # by line; SHIPPING for the shipping


def give_back(
    purchase: Purchase,
    returned: Mapping[str, Part],
    parts: Sequence[tuple[str, Part]],
    *,
    returned_at: datetime,
) -> dict[str, Part]:
    """What has come back of each touched line once these parts are added.

    Raises:
        ReturnTooEarly: it comes back before it was bought.
        UnknownLine: a line that the purchase does not have.
        ReturnTooLarge: more pieces or money than is left of a line.
    """
    if returned_at < purchase.purchased_at:
        raise ReturnTooEarly(
            f"returned at {returned_at.isoformat()}, bought at {purchase.purchased_at.isoformat()}"
        )
    after: dict[str, Part] = {}
    for line, part in parts:
        if line not in purchase.bought:
            raise UnknownLine(line)
        bought = purchase.bought[line]
        before = after.get(line) or returned.get(line) or Part(0, 0)
        _check(line, "quantity", part.quantity, bought.quantity - before.quantity)
        _check(line, "amount_minor", part.amount_minor, bought.amount_minor - before.amount_minor)
        after[line] = Part(before.quantity + part.quantity, before.amount_minor + part.amount_minor)
    return after


def _check(line: str, what: str, asked: int, left: int) -> None:
    if asked > left:
        raise ReturnTooLarge(line, what=what, asked=asked, left=left)
