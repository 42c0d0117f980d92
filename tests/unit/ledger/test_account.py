"""The rules of points: decisions over lots, and both sides of every movement."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain import account
from services.ledger.domain.account import Wallet
from services.ledger.domain.errors import NotEnoughPoints, PointsSpent, ReversalTooLarge
from services.ledger.domain.events import (
    Event,
    PointsCaptured,
    PointsCredited,
    PointsEarned,
    PointsExpired,
    PointsExtended,
    PointsGranted,
    PointsHeld,
    PointsRedeemed,
    PointsReleased,
    PointsRepaid,
    PointsRestored,
    PointsTakenBack,
    PointsWithdrawn,
    PointsWrittenOff,
    PurchaseRecorded,
    Release,
)
from services.ledger.domain.lot import Lot, opened
from services.ledger.domain.parts import Actor, LotPoints, Origin
from services.ledger.domain.postings import OF_LOTS, Account, postings
from services.ledger.domain.terms import Shortfall, Terms

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ORIGIN = Origin(programme="grocer", version=1, rule="base", arithmetic={})


def lot(
    name: str, points: int = 100, *, ends_in_days: int | None = 30, left: int | None = None
) -> Lot:
    return Lot(
        lot=name,
        unit="points",
        points=points,
        points_left=points if left is None else left,
        earned_at=NOW - timedelta(days=1),
        expires_at=None if ends_in_days is None else NOW + timedelta(days=ends_in_days),
        purchase=f"purchase-{name}",
        merchant="grocer",
    )


def wallet(*lots: Lot, owed: int = 0) -> Wallet:
    ordered = tuple(sorted(lots, key=lambda lot: lot.spending_order))
    return Wallet(unit="points", lots=ordered, points_owed=owed)


def redeem(wallet: Wallet, points: int) -> PointsRedeemed:
    return account.redeem(
        wallet, redemption="r-1", points=points, merchant="grocer", purchase=None, now=NOW
    )


def earned(points: int = 100, *, ends_in_days: int | None = 30) -> PointsEarned:
    new = lot("new", points, ends_in_days=ends_in_days)
    return PointsEarned(
        lot=new.lot,
        unit=new.unit,
        points=points,
        purchase="purchase-new",
        earned_at=new.earned_at,
        expires_at=new.expires_at,
        origin=ORIGIN,
    )


def test_spends_the_lot_that_ends_first() -> None:
    june, may = lot("june", 100, ends_in_days=60), lot("may", 50, ends_in_days=30)

    event = redeem(wallet(june, may), 70)

    assert event.lots == (LotPoints("may", 50), LotPoints("june", 20))


def test_of_equal_ends_spends_the_earlier_earned_then_the_lower_id() -> None:
    b, a = lot("b", 10), lot("a", 10)
    earliest = replace(lot("z", 10), earned_at=NOW - timedelta(days=9))

    event = redeem(wallet(b, a, earliest), 25)

    assert [part.lot for part in event.lots] == ["z", "a", "b"]


def test_spends_lots_without_an_end_last() -> None:
    event = redeem(wallet(lot("for-ever", 10, ends_in_days=None), lot("ends", 10)), 11)

    assert event.lots == (LotPoints("ends", 10), LotPoints("for-ever", 1))


def test_a_lot_is_worthless_from_its_end_on() -> None:
    with pytest.raises(NotEnoughPoints) as refused:
        redeem(wallet(lot("ends-now", 100, ends_in_days=0)), 1)

    assert refused.value.points_available == 0


def test_names_what_is_missing() -> None:
    with pytest.raises(NotEnoughPoints, match="asked for 101 points, 100 available"):
        redeem(wallet(lot("a")), 101)


def test_who_owes_points_cannot_spend() -> None:
    with pytest.raises(NotEnoughPoints) as refused:
        redeem(wallet(owed=20), 5)

    assert refused.value.points_available == -20


@given(lots=st.lists(st.integers(1, 1_000), max_size=8), points=st.integers(1, 5_000))
def test_spends_exactly_the_price_or_nothing(lots: list[int], points: int) -> None:
    held = wallet(*(lot(f"lot-{n}", p, ends_in_days=n + 1) for n, p in enumerate(lots)))
    before = sum(lots)

    try:
        event = redeem(held, points)
    except NotEnoughPoints:
        assert points > before
    else:
        assert event.points == points
        assert all(part.points > 0 for part in event.lots)


def test_points_that_another_merchant_issued_name_it() -> None:
    bakers = replace(lot("bun", 10, ends_in_days=1), merchant="baker")

    event = redeem(wallet(bakers, lot("milk", 10)), 15)

    assert event.lots == (LotPoints("bun", 10, "baker"), LotPoints("milk", 5))


def test_new_points_repay_what_is_owed_first() -> None:
    events = account.earn(earned(100), points_owed=30, now=NOW)

    assert events[1:] == [PointsRepaid(lot="new", unit="points", points=30, repaid_at=NOW)]


def test_a_lot_that_ended_before_it_was_recorded_ends_at_once() -> None:
    late = earned(100, ends_in_days=-3)

    events = account.earn(late, points_owed=0, now=NOW)

    assert late.expires_at is not None
    assert events[1:] == [
        PointsExpired(
            lot="new",
            unit="points",
            points=100,
            purchase=late.purchase,
            expired_at=late.expires_at,
        )
    ]


def test_a_lot_that_has_ended_repays_nothing() -> None:
    events = account.earn(earned(100, ends_in_days=-3), points_owed=100, now=NOW)

    assert [type(event) for event in events] == [PointsEarned, PointsExpired]


REDEEMED = PointsRedeemed(
    redemption="r-1",
    unit="points",
    lots=(LotPoints("may", 50), LotPoints("june", 20)),
    redeemed_at=NOW,
)


LOTS = {"may": lot("may", 50), "june": lot("june", 100)}


def test_what_is_given_back_to_an_ended_lot_repays_nothing() -> None:
    lots = {**LOTS, "june": lot("june", 100, ends_in_days=0)}

    events = account.reverse(REDEEMED, lots, points=None, points_owed=60, now=NOW)

    assert events[1:] == [PointsRepaid(lot="may", unit="points", points=50, repaid_at=NOW)]


def test_a_reversal_gives_back_to_the_very_lots() -> None:
    [event] = account.reverse(REDEEMED, LOTS, points=None, points_owed=0, now=NOW)

    assert isinstance(event, PointsRestored)
    assert event.lots == (LotPoints("june", 20), LotPoints("may", 50))


def test_of_a_part_what_was_spent_last_comes_back_first() -> None:
    [event] = account.reverse(REDEEMED, LOTS, points=30, points_owed=0, now=NOW)

    assert isinstance(event, PointsRestored)
    assert event.lots == (LotPoints("june", 20), LotPoints("may", 10))


def test_a_part_that_one_lot_covers_touches_no_other() -> None:
    [event] = account.reverse(REDEEMED, LOTS, points=20, points_owed=0, now=NOW)

    assert isinstance(event, PointsRestored)
    assert event.lots == (LotPoints("june", 20),)


def test_a_reversal_gives_back_no_more_than_was_spent() -> None:
    with pytest.raises(ReversalTooLarge, match="71"):
        account.reverse(REDEEMED, LOTS, points=71, points_owed=0, now=NOW)


def test_restored_points_repay_what_is_owed_first() -> None:
    events = account.reverse(REDEEMED, LOTS, points=None, points_owed=25, now=NOW)

    assert events[1:] == [
        PointsRepaid(lot="june", unit="points", points=20, repaid_at=NOW),
        PointsRepaid(lot="may", unit="points", points=5, repaid_at=NOW),
    ]


def take_back(own: Lot, others: list[Lot], points: int) -> PointsTakenBack:
    taken, *_ = account.take_back(
        own,
        others,
        return_id="ret-1",
        points=points,
        returned_at=NOW,
        now=NOW,
        origin=ORIGIN,
    )
    assert isinstance(taken, PointsTakenBack)
    return taken


def test_a_return_takes_from_the_purchases_own_lot_first() -> None:
    own, other = lot("own", 100, ends_in_days=60), lot("other", 100, ends_in_days=1)

    event = take_back(own, [other, own], 40)

    assert event.lots == (LotPoints("own", 40),)
    assert event.owed == 0


def test_then_from_the_soonest_ending_and_the_rest_is_owed() -> None:
    own, other = lot("own", 100, left=10), lot("other", 20)

    event = take_back(own, [other, own], 50)

    assert event.lots == (LotPoints("own", 10), LotPoints("other", 20))
    assert event.owed == 20
    assert event.points == 50


def test_a_lot_that_has_ended_covers_nothing_whether_the_clock_has_noticed_or_not() -> None:
    ended, other = lot("own", 100, ends_in_days=0), lot("other", 100)

    before_the_clock = take_back(ended, [other], 40)
    after_it = take_back(replace(ended, points_left=0), [other], 40)

    assert before_the_clock == after_it
    assert before_the_clock.lots == (LotPoints("other", 40),)


def test_a_lot_ends_with_what_is_left_of_it() -> None:
    ended = lot("a", 100, left=40, ends_in_days=-1)

    event = account.expire(ended, now=NOW)

    assert event is not None
    assert event.points == 40
    assert event.expired_at == ended.expires_at


@pytest.mark.parametrize(
    "open_lot",
    [
        lot("spent", left=0, ends_in_days=-1),
        lot("has-time", ends_in_days=1),
        lot("for-ever", ends_in_days=None),
    ],
)
def test_a_lot_does_not_end_too_early_nor_twice(open_lot: Lot) -> None:
    assert account.expire(open_lot, now=NOW) is None


def test_a_lot_ends_at_its_end_not_after_it() -> None:
    assert account.expire(lot("a", ends_in_days=0), now=NOW) is not None


PROMISED = replace(earned(), credit_at=NOW + timedelta(days=14))


def test_promised_points_wait_for_their_date() -> None:
    assert account.earn(PROMISED, points_owed=50, now=NOW) == [PROMISED]


def test_a_promise_whose_date_has_passed_is_kept_at_once_and_recorded_as_late() -> None:
    overdue = replace(PROMISED, credit_at=NOW - timedelta(days=1))

    _, credited, repaid = account.earn(overdue, points_owed=30, now=NOW)

    assert isinstance(credited, PointsCredited)
    assert credited.is_late
    assert repaid == PointsRepaid(lot="new", unit="points", points=30, repaid_at=NOW)


def test_what_was_promised_of_a_lot_that_has_ended_ends() -> None:
    ended = replace(earned(ends_in_days=-1), credit_at=NOW - timedelta(days=2))

    events = account.earn(ended, points_owed=30, now=NOW)

    assert [type(event) for event in events] == [PointsEarned, PointsCredited, PointsExpired]


def pending(points: int = 100, *, ends_in_days: int | None = 30, due_in: timedelta) -> Lot:
    promised = lot("new", 100, left=0, ends_in_days=ends_in_days)
    return replace(promised, points_pending=points, credit_at=NOW + due_in)


def test_keeps_a_promise_on_its_date_and_not_before() -> None:
    [credited] = account.credit(pending(60, due_in=timedelta()), points_owed=0, now=NOW)

    assert isinstance(credited, PointsCredited)
    assert (credited.points, credited.is_late) == (60, False)
    assert account.credit(pending(due_in=timedelta(seconds=1)), points_owed=0, now=NOW) == []
    assert account.credit(pending(0, due_in=timedelta()), points_owed=0, now=NOW) == []


def test_what_is_credited_repays_what_is_owed_unless_the_lot_has_ended() -> None:
    due = timedelta(hours=-1)

    _, *repaid = account.credit(pending(due_in=due), points_owed=70, now=NOW)
    ended = account.credit(pending(due_in=due, ends_in_days=0), points_owed=70, now=NOW)

    assert repaid == [PointsRepaid(lot="new", unit="points", points=70, repaid_at=NOW)]
    assert [type(event) for event in ended] == [PointsCredited]


def test_a_return_takes_what_is_pending_before_what_is_at_hand() -> None:
    own = replace(lot("own", 100, left=0), points_pending=70)

    event = take_back(own, [lot("other", 20)], 100)

    assert (event.pending, event.lots, event.owed) == (70, (LotPoints("other", 20),), 10)
    assert event.points == 100


def test_what_is_spent_is_forgiven_where_the_terms_say_so() -> None:
    own = replace(lot("own", 100, left=10), terms=Terms(shortfall=Shortfall.WRITE_OFF))

    taken, forgiven = account.take_back(
        own, [], return_id="ret-1", points=50, returned_at=NOW, now=NOW, origin=ORIGIN
    )

    assert isinstance(taken, PointsTakenBack)
    assert isinstance(forgiven, PointsWrittenOff)
    assert forgiven.points == taken.owed == 40


def test_a_lower_rank_is_spent_first_whatever_its_end() -> None:
    base = replace(lot("base", ends_in_days=1), terms=Terms(rank=1))
    bonus = lot("bonus", ends_in_days=None)

    assert redeem(wallet(base, bonus), 150).lots == (LotPoints("bonus", 100), LotPoints("base", 50))


def test_a_lot_that_has_ended_lives_again_for_its_time_of_grace() -> None:
    grace = Terms(grace=timedelta(days=14))
    ended = replace(lot("may", left=0, ends_in_days=-3), terms=grace)
    open_ = replace(lot("june", left=0), terms=grace)

    restored, extended, *repaid = account.reverse(
        REDEEMED, {"may": ended, "june": open_}, points=None, points_owed=60, now=NOW
    )

    assert isinstance(restored, PointsRestored)
    assert isinstance(extended, PointsExtended)
    assert (extended.lot, extended.was) == ("may", ended.expires_at)
    assert extended.expires_at == NOW + timedelta(days=14)
    assert sum(each.points for each in repaid if isinstance(each, PointsRepaid)) == 60


SPENT_ELSEWHERE = replace(REDEEMED, lots=(LotPoints("may", 50, "baker"), LotPoints("june", 20)))


def test_who_issued_owes_who_was_paid_until_it_is_reversed() -> None:
    [restored] = account.reverse(SPENT_ELSEWHERE, LOTS, points=30, points_owed=0, now=NOW)

    owed: Counter[str | None] = Counter()
    for event in (SPENT_ELSEWHERE, restored):
        for posting in postings(event):
            if posting.account is Account.OWED_BETWEEN_MERCHANTS:
                owed[posting.merchant] += posting.points

    assert owed == {"baker": -40, None: 40}


EVENTS: list[Event] = [
    earned(),
    REDEEMED,
    SPENT_ELSEWHERE,
    PointsRestored(redemption="r-2", unit="points", lots=SPENT_ELSEWHERE.lots, restored_at=NOW),
    PointsRestored(redemption="r-1", unit="points", lots=REDEEMED.lots, restored_at=NOW),
    take_back(lot("own", left=10), [lot("other", 20)], 50),
    PointsRepaid(lot="new", unit="points", points=3, repaid_at=NOW),
    PointsExpired(lot="new", unit="points", points=3, purchase="p", expired_at=NOW),
    PurchaseRecorded(purchase="p", content=b"{}", purchased_at=NOW),
    replace(earned(), credit_at=NOW),
    PointsCredited(
        lot="new",
        unit="points",
        points=100,
        purchase="p",
        promised_at=NOW,
        credited_at=NOW,
        is_late=False,
    ),
    PointsHeld(hold="h", unit="points", lots=SPENT_ELSEWHERE.lots, held_at=NOW, expires_at=NOW),
    PointsCaptured(hold="h", unit="points", lots=SPENT_ELSEWHERE.lots, captured_at=NOW),
    PointsReleased(
        hold="h", unit="points", lots=REDEEMED.lots, released_at=NOW, reason=Release.ASKED
    ),
    replace(take_back(lot("own", left=10), [], 10), pending=40),
    PointsWrittenOff(
        purchase="p", return_id="r", lot="own", unit="points", points=20, written_off_at=NOW
    ),
    PointsExtended(
        lot="own",
        unit="points",
        points=1,
        purchase="p",
        was=NOW,
        expires_at=NOW,
        extended_at=NOW,
    ),
    PointsGranted(
        adjustment="a-1",
        lot="granted",
        unit="points",
        points=70,
        reason="the till was down",
        by=Actor(key="key-1"),
        granted_at=NOW,
        expires_at=None,
    ),
    PointsWithdrawn(
        adjustment="a-2",
        unit="points",
        lots=(LotPoints("granted", 30),),
        reason="twice",
        by=Actor(key="key-1"),
        withdrawn_at=NOW,
    ),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_both_sides_of_every_movement_sum_to_zero(event: Event) -> None:
    assert sum(posting.points for posting in postings(event)) == 0


def test_points_are_conserved_over_a_members_story() -> None:
    balances: Counter[Account] = Counter()
    for event in EVENTS:
        for posting in postings(event):
            balances[posting.account] += posting.points

    earned_points = -balances[Account.ISSUED]
    gone = (
        Account.REDEEMED,
        Account.EXPIRED,
        Account.REVERSED,
        Account.WRITTEN_OFF,
        Account.ADJUSTED,
    )
    of_the_member = (*OF_LOTS, Account.OWED)
    assert earned_points == sum(balances[side] for side in (*of_the_member, *gone))


def test_a_lot_begins_empty_and_its_event_fills_it() -> None:
    terms = Terms(rank=2)

    [new] = opened(replace(earned(), terms=terms), merchant="baker")

    assert (new.points, new.points_left, new.merchant, new.terms) == (100, 0, "baker", terms)
    assert opened(REDEEMED, merchant="baker") == []


def test_a_return_that_the_terms_refuse_names_its_numbers() -> None:
    refused = PointsSpent(points_asked=10, points_available=3)

    assert str(refused) == "up to 10 points would be taken back, 3 are left"


def test_a_lot_never_holds_less_than_nothing_nor_more_than_it_earned() -> None:
    assert lot("a", 100, left=10).moved(Account.AVAILABLE, -10).points_left == 0
    assert lot("a", 100, left=10).moved(Account.AVAILABLE, 90).points_left == 100
    with pytest.raises(AssertionError):
        lot("a", 100, left=10).moved(Account.AVAILABLE, -11)
    with pytest.raises(AssertionError):
        lot("a", 100, left=100).moved(Account.HELD, 1)
