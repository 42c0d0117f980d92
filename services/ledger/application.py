"""The ledger's use cases: one command after another, decided against the books.

Nothing here reads a clock or a database: the books answer, and note what was decided.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from services.ledger import adjusting, holding, readers, wire
from services.ledger.books import Books
from services.ledger.cards import member_of, put_card, resolved
from services.ledger.claims import claim_purchase
from services.ledger.domain import account
from services.ledger.domain.errors import (
    NothingToDo,
    Refused,
    UnknownLot,
    UnknownRedemption,
)
from services.ledger.domain.events import (
    PointsEarned,
    PointsRedeemed,
    PurchaseRecorded,
)
from services.ledger.holding import story_like
from services.ledger.intake import Command, key_of
from services.ledger.returns import decide_waiting, lapse, purchase_key, record_return
from services.ledger.store.lots import StoredLot
from services.ledger.store.outcomes import Outcome
from services.ledger.wire import Story
from services.runtime.clock import parse_rfc3339

_OF_A_LOT = ("award", "take-back", "credit", "expiry")


class IdReused(Exception):
    """The same id with other content; what was recorded first stands."""

    code = "id-reused"


def fetch(books: Books, commands: Sequence[Command]) -> None:
    """Read ahead what deciding these commands will ask for, in one statement each."""
    of_type: defaultdict[str, list[Command]] = defaultdict(list)
    for command in commands:
        of_type[command.type].append(command)
    books.fetch_outcomes(
        [command.key for command in commands]
        + [purchase_key(command) for command in (*of_type["return"], *of_type["claim"])]
    )
    books.belongings.fetch(
        cards=[number for command in commands if (number := _card_named(command)) is not None],
        purchases=[purchase_key(each) for each in (*of_type["return"], *of_type["claim"])],
    )
    books.fetch_waiting([command.key for command in of_type["purchase"]])
    members = ((command, member_of(books, command)) for command in commands)
    books.fetch_accounts(
        _story(command).stream if member is None else wire.stream_of(member)
        for command, member in members
        if member is not None or command.type == "purchase"
    )
    books.lots.fetch([command.data["lot"] for command in commands if command.type in _OF_A_LOT])


def decide(books: Books, command: Command) -> None:
    """Decide one command and note its outcome; deciding it again changes nothing.

    Raises:
        IdReused: this id was used for something else.
    """
    known = books.outcome(command.key)
    if known is not None:
        if known.fingerprint != command.fingerprint:
            raise IdReused(f"{command.type} {command.id} was sent before with other content")
        return
    try:
        outcome = _DECIDERS[command.type](books, resolved(books, command))
    except Refused as refusal:
        outcome = Outcome(command.fingerprint, "declined", refusal.code, str(refusal))
    books.conclude(command.key, outcome)


def _record_purchase(books: Books, command: Command) -> Outcome:
    event = PurchaseRecorded(
        purchase=command.id,
        content=command.content,
        purchased_at=parse_rfc3339(command.data["purchased_at"]),
    )
    outcome = books.record(_story(command), [event], command.fingerprint)
    books.conclude(command.key, outcome)
    for waiting in books.waiting_for(command.key):
        decide_waiting(books, waiting)
    return outcome


def _redeem(books: Books, command: Command) -> Outcome:
    data = command.data
    event = account.redeem(
        books.wallet(data["member"], data["unit"], data["points"]),
        redemption=command.id,
        points=data["points"],
        merchant=command.merchant,
        purchase=data.get("purchase"),
        now=books.now,
    )
    event = replace(event, card=command.data.get("card"))
    return books.record(_story(command), [event], command.fingerprint)


def _reverse(books: Books, command: Command) -> Outcome:
    known = books.outcome(key_of(command.source, "redemption", command.id))
    if known is None or not known.first_position:
        raise UnknownRedemption(f"no redemption {command.id} was recorded")
    recorded = books.event_at(known.first_position)
    redeemed = recorded.event
    assert isinstance(redeemed, PointsRedeemed)
    assert recorded.member is not None
    events = account.reverse(
        redeemed,
        books.lots.of(redeemed.lots),
        points=command.data.get("points"),
        points_owed=books.points_owed(recorded.member, redeemed.unit),
        now=books.now,
    )
    return books.record(story_like(recorded, command), events, command.fingerprint)


def _award(books: Books, command: Command) -> Outcome:
    data = command.data
    if books.lots.get(data["lot"]) is not None:
        raise NothingToDo(f"lot {data['lot']} was earned before")
    earned = PointsEarned(
        lot=data["lot"],
        unit=data["unit"],
        points=data["points"],
        purchase=data["purchase"],
        earned_at=parse_rfc3339(data["earned_at"]),
        expires_at=readers.instant_in(data, "expires_at"),
        origin=readers.origin_in(data),
        credit_at=readers.instant_in(data, "credit_at"),
        terms=readers.terms_in(data),
    )
    owed = books.points_owed(data["member"], data["unit"])
    events = account.earn(earned, points_owed=owed, now=books.now)
    return books.record(_story(command), events, command.fingerprint)


def _take_back(books: Books, command: Command) -> Outcome:
    data = command.data
    own = _own_lot(books, command)
    events = account.take_back(
        own.lot,
        books.lots.spendable(own.member, own.lot.unit, data["points"] + own.lot.points_left),
        return_id=data["return"],
        points=data["points"],
        returned_at=parse_rfc3339(data["returned_at"]),
        now=books.now,
        origin=readers.origin_in(data),
    )
    return books.record(_story(command), events, command.fingerprint)


def _credit(books: Books, command: Command) -> Outcome:
    own = _own_lot(books, command)
    owed = books.points_owed(own.member, own.lot.unit)
    events = account.credit(own.lot, points_owed=owed, now=books.now)
    if not events:
        raise NothingToDo(f"of lot {own.lot.lot} nothing is pending, or not due yet")
    return books.record(_story_of(own, command), events, command.fingerprint)


def _expire(books: Books, command: Command) -> Outcome:
    own = _own_lot(books, command)
    event = account.expire(own.lot, now=books.now)
    if event is None:
        raise NothingToDo(f"lot {own.lot.lot} has nothing left, or time left")
    return books.record(_story_of(own, command), [event], command.fingerprint)


_DECIDERS: dict[str, Callable[[Books, Command], Outcome]] = {
    "purchase": _record_purchase,
    "return": record_return,
    "redemption": _redeem,
    "reversal": _reverse,
    "claim": claim_purchase,
    "card": put_card,
    "hold": holding.hold,
    "capture": holding.capture,
    "release": holding.release,
    "adjustment": adjusting.adjust,
    "award": _award,
    "take-back": _take_back,
    "credit": _credit,
    "expiry": _expire,
    "hold-expiry": holding.end,
    "lapse": lapse,
}


def _card_named(command: Command) -> str | None:
    """The card that it is about, or that stands for its member."""
    number: str | None = command.about if command.type == "card" else command.data.get("card")
    return number


def _own_lot(books: Books, command: Command) -> StoredLot:
    own = books.lots.get(command.data["lot"])
    if own is None or own.member != command.data["member"]:
        raise UnknownLot(f"member {command.data['member']} has no lot {command.data['lot']}")
    return own


def _story_of(own: StoredLot, command: Command) -> Story:
    merchant, member = own.lot.merchant, own.member
    return Story(merchant=merchant, member=member, traceparent=command.traceparent)


def _story(command: Command) -> Story:
    return Story(
        merchant=command.merchant,
        member=command.data.get("member"),
        purchase=command.id if command.type == "purchase" else None,
        traceparent=command.traceparent,
    )
