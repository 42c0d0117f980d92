"""What may come back of a purchase, in any number of parts and any order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain.errors import ReturnTooEarly, ReturnTooLarge, UnknownLine
from services.ledger.domain.purchase import SHIPPING, Part, Purchase, give_back

BOUGHT_AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PURCHASE = Purchase(
    purchased_at=BOUGHT_AT,
    currency="USD",
    bought={"1": Part(3, 300), "2": Part(1, 999), SHIPPING: Part(0, 500)},
)


def back(
    *parts: tuple[str, Part], returned: dict[str, Part] | None = None, days: int = 1
) -> dict[str, Part]:
    at = BOUGHT_AT + timedelta(days=days)
    return give_back(PURCHASE, returned or {}, parts, returned_at=at)


def test_adds_to_what_has_come_back_before() -> None:
    after = back(("1", Part(1, 100)), returned={"1": Part(1, 100), "2": Part(1, 999)})

    assert after == {"1": Part(2, 200)}


@pytest.mark.parametrize(
    ("part", "what"), [(Part(3, 100), "quantity"), (Part(1, 201), "amount_minor")]
)
def test_refuses_more_than_is_left(part: Part, what: str) -> None:
    with pytest.raises(ReturnTooLarge) as refused:
        back(("1", part), returned={"1": Part(1, 100)})

    assert refused.value.what == what
    assert refused.value.line == "1"


def test_refuses_a_line_that_was_not_bought() -> None:
    with pytest.raises(UnknownLine, match="'9'"):
        back(("9", Part(1, 1)))


def test_refuses_what_comes_back_before_it_was_bought() -> None:
    with pytest.raises(ReturnTooEarly):
        back(("1", Part(1, 1)), days=-1)


def test_shipping_comes_back_up_to_what_was_paid() -> None:
    assert back((SHIPPING, Part(0, 500))) == {SHIPPING: Part(0, 500)}
    with pytest.raises(ReturnTooLarge):
        back((SHIPPING, Part(0, 501)))


@given(st.lists(st.tuples(st.sampled_from(["1", "2"]), st.integers(0, 3), st.integers(0, 999))))
def test_never_more_than_was_bought_over_any_returns(
    returns: list[tuple[str, int, int]],
) -> None:
    returned: dict[str, Part] = {}

    for line, quantity, amount_minor in returns:
        try:
            returned |= back((line, Part(quantity, amount_minor)), returned=returned)
        except ReturnTooLarge:
            continue

    for line, part in returned.items():
        assert part.quantity <= PURCHASE.bought[line].quantity
        assert part.amount_minor <= PURCHASE.bought[line].amount_minor
