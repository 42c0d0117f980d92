"""Whose is what: claims are made once, and a card leads to one member."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain.cards import Card, assign, holder
from services.ledger.domain.claims import Sale, claim
from services.ledger.domain.errors import (
    AlreadyClaimed,
    BlockedCard,
    CardTaken,
    NotAStrangers,
    Refused,
    UnknownCard,
)
from services.ledger.domain.events import (
    CardBlocked,
    CardIssued,
    PurchaseClaimed,
    PurchaseRecorded,
)
from services.ledger.domain.postings import postings
from services.ledger.domain.purchase import SHIPPING, Part

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NUMBER = "4006381333931"
YESTERDAY = NOW - timedelta(days=1)
RETURNED = {"1": Part(1, 1_549), SHIPPING: Part(0, 490)}


def sale(*, bought_by: str | None = None, claimed_by: str | None = None) -> Sale:
    recorded = PurchaseRecorded(purchase="p-1", content=b'{"lines":[]}', purchased_at=YESTERDAY)
    return Sale(
        recorded=recorded,
        recorded_at=YESTERDAY,
        bought_by=bought_by,
        claimed_by=claimed_by,
        returned=RETURNED,
    )


def test_a_strangers_purchase_becomes_a_members_with_what_had_come_back() -> None:
    event = claim(sale(), member="1130", now=NOW)

    assert event == PurchaseClaimed(
        purchase="p-1",
        content=b'{"lines":[]}',
        recorded_at=YESTERDAY,
        returned=RETURNED,
        claimed_at=NOW,
    )
    assert postings(event) == []


def test_the_same_member_again_changes_nothing() -> None:
    assert claim(sale(claimed_by="1130"), member="1130", now=NOW) is None


def test_nobody_claims_what_another_has() -> None:
    with pytest.raises(AlreadyClaimed, match="p-1 was claimed by another member"):
        claim(sale(claimed_by="1130"), member="27", now=NOW)


@pytest.mark.parametrize("member", ["1130", "27"])
def test_nobody_claims_what_was_a_members_from_the_start(member: str) -> None:
    with pytest.raises(NotAStrangers):
        claim(sale(bought_by="1130"), member=member, now=NOW)


def put(
    card: Card | None, member: str = "1130", *, is_blocked: bool | None = None
) -> CardIssued | CardBlocked | None:
    return assign(card, number=NUMBER, member=member, is_blocked=is_blocked, now=NOW)


USABLE = Card(member="1130", is_blocked=False)
BLOCKED = Card(member="1130", is_blocked=True)


def test_a_new_number_leads_to_the_member() -> None:
    assert put(None) == CardIssued(card=NUMBER, issued_at=NOW)
    assert put(None, is_blocked=False) == CardIssued(card=NUMBER, issued_at=NOW)


@pytest.mark.parametrize("card", [None, USABLE])
def test_a_number_is_blocked_whether_it_was_known_or_not(card: Card | None) -> None:
    event = put(card, is_blocked=True)

    assert event == CardBlocked(card=NUMBER, blocked_at=NOW)
    assert postings(event) == []


def test_what_is_so_already_changes_nothing() -> None:
    assert put(USABLE) is None
    assert put(USABLE, is_blocked=False) is None
    assert put(BLOCKED) is None
    assert put(BLOCKED, is_blocked=True) is None


@pytest.mark.parametrize("card", [USABLE, BLOCKED])
def test_a_number_never_leads_to_another(card: Card) -> None:
    for is_blocked in (None, False, True):
        with pytest.raises(CardTaken, match=NUMBER):
            put(card, "27", is_blocked=is_blocked)


def test_a_blocked_number_stays_blocked() -> None:
    with pytest.raises(BlockedCard, match="issue a new one"):
        put(BLOCKED, is_blocked=False)


def test_a_card_leads_to_its_member() -> None:
    assert holder(USABLE, number=NUMBER) == "1130"


def test_an_unknown_card_leads_nowhere() -> None:
    with pytest.raises(UnknownCard, match=NUMBER):
        holder(None, number=NUMBER)


def test_a_blocked_card_leads_nowhere() -> None:
    with pytest.raises(BlockedCard, match=NUMBER):
        holder(BLOCKED, number=NUMBER)


def after(card: Card | None, member: str, *, is_blocked: bool | None) -> Card | None:
    """The card once this was asked for, whatever was answered."""
    try:
        event = put(card, member, is_blocked=is_blocked)
    except Refused:
        return card
    match event:
        case CardIssued():
            return Card(member=member, is_blocked=False)
        case CardBlocked():
            return Card(member=member, is_blocked=True)
        case None:
            return card


ASKED = st.lists(st.sampled_from([None, False, True]), min_size=1, max_size=8)


@given(asked=ASKED, again=st.randoms(use_true_random=False))
def test_of_one_member_the_order_and_the_number_of_askings_do_not_matter(
    asked: list[bool | None], again: random.Random
) -> None:
    shuffled = asked * 2
    again.shuffle(shuffled)
    ends: list[Card | None] = []
    for sent in (asked, shuffled):
        card: Card | None = None
        for is_blocked in sent:
            card = after(card, "1130", is_blocked=is_blocked)
        ends.append(card)

    assert ends[0] == ends[1]
    assert ends[0] == Card(member="1130", is_blocked=True in asked)
