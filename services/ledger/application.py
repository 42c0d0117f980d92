"""The ledger's use cases: one command after another, decided against the books.

Nothing here reads a clock or a database: the books answer, and note what was decided.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from services.ledger import wire
from services.ledger.books import Books
from services.ledger.domain import account, purchase
from services.ledger.domain.errors import (
    NothingToDo,
    Refused,
    UnknownLot,
    UnknownPurchase,
    UnknownRedemption,
)
from services.ledger.domain.events import (
    Event,
    PointsEarned,
    PointsRedeemed,
    PurchaseRecorded,
    ReturnRecorded,
)
from services.ledger.domain.purchase import SHIPPING, Part
from services.ledger.intake import Command, key_of
from services.ledger.store import Outcome, StoredLot, WaitingReturn
from services.ledger.wire import Story
from services.runtime.clock import parse_rfc3339
from services.runtime.contracts import decode

_LOG = logging.getLogger(__name__)
RETURN_WAITS = timedelta(days=30)


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
        + [_purchase_key(command) for command in of_type["return"]]
    )
    books.fetch_waiting([command.key for command in of_type["purchase"]])
    books.fetch_accounts(_story(command).stream for command in of_type["purchase"])
    books.fetch_accounts(
        wire.stream_of(command.data["member"])
        for command in commands
        if command.type in ("award", "take-back", "redemption", "expiry")
    )
    books.fetch_lots(
        [
            command.data["lot"]
            for command in commands
            if command.type in ("award", "take-back", "expiry")
        ]
    )


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
        outcome = _DECIDERS[command.type](books, command)
    except Refused as refusal:
        outcome = Outcome(command.fingerprint, "declined", refusal.code, str(refusal))
    books.conclude(command.key, outcome)


def _record(books: Books, command: Command, story: Story, events: Sequence[Event]) -> Outcome:
    first_position = books.record(story, events)
    return Outcome(
        command.fingerprint,
        "recorded",
        first_position=first_position,
        event_count=len(events),
    )


def _record_purchase(books: Books, command: Command) -> Outcome:
    event = PurchaseRecorded(
        purchase=command.id,
        content=command.content,
        purchased_at=parse_rfc3339(command.data["purchased_at"]),
    )
    outcome = _record(books, command, _story(command), [event])
    books.conclude(command.key, outcome)
    for waiting in books.waiting_for(command.key):
        _decide_waiting(books, waiting)
    return outcome


def _decide_waiting(books: Books, waiting: WaitingReturn) -> None:
    """The purchase has come: the return is decided as if it came now."""
    known = books.outcome(waiting.command)
    assert known is not None, "what waits was accepted"
    command = Command(
        source=waiting.merchant,
        type="return",
        id=waiting.id,
        key=waiting.command,
        data=decode(waiting.content),
        content=waiting.content,
        fingerprint=known.fingerprint,
        traceparent=waiting.traceparent,
    )
    books.end_wait(waiting)
    try:
        outcome = _record_return(books, command)
    except Refused as refusal:
        outcome = replace(known, outcome="declined", code=refusal.code, detail=str(refusal))
    books.conclude(command.key, outcome)


def _record_return(books: Books, command: Command) -> Outcome:
    purchase_key = _purchase_key(command)
    found = books.purchase(purchase_key)
    if found is None:
        return _wait_for_purchase(books, command, purchase_key)
    recorded, bought = found
    parts = [
        (line["line"], Part(line["quantity"], line["amount_minor"]))
        for line in command.data["lines"]
    ]
    shipping_minor = command.data.get("shipping_minor", 0)
    returned_at = parse_rfc3339(command.data["returned_at"])
    after = purchase.give_back(
        bought,
        books.returned(purchase_key),
        [*parts, (SHIPPING, Part(0, shipping_minor))] if shipping_minor else parts,
        returned_at=returned_at,
    )
    purchase_id, _, return_id = command.id.partition("/")
    event = ReturnRecorded(
        purchase=purchase_id,
        return_id=return_id,
        content=command.content,
        returned_at=returned_at,
        purchased_at=bought.purchased_at,
        currency=bought.currency,
        amount_minor=sum(part.amount_minor for _, part in parts),
    )
    story = Story(
        merchant=command.source,
        member=recorded.member,
        purchase=purchase_id,
        traceparent=command.traceparent,
    )
    outcome = _record(books, command, story, [event])
    books.note_return(purchase_key, after, outcome.first_position)
    return outcome


def _wait_for_purchase(books: Books, command: Command, purchase_key: bytes) -> Outcome:
    books.wait(
        WaitingReturn(
            command=command.key,
            purchase=purchase_key,
            merchant=command.source,
            id=command.id,
            content=command.content,
            traceparent=command.traceparent,
            since=books.now,
            until=books.now + RETURN_WAITS,
        )
    )
    detail = f"waits up to {RETURN_WAITS.days} days for its purchase"
    return Outcome(command.fingerprint, "accepted", "waits-for-purchase", detail)


def _redeem(books: Books, command: Command) -> Outcome:
    member, unit, points = (command.data[name] for name in ("member", "unit", "points"))
    wallet = account.Wallet(
        unit=unit,
        lots=books.spendable(member, unit, points),
        points_owed=books.points_owed(member, unit),
    )
    event = account.redeem(
        wallet,
        redemption=command.id,
        points=points,
        purchase=command.data.get("purchase"),
        now=books.now,
    )
    return _record(books, command, _story(command), [event])


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
        points=command.data.get("points"),
        points_owed=books.points_owed(recorded.member, redeemed.unit),
        now=books.now,
    )
    story = Story(
        merchant=recorded.merchant, member=recorded.member, traceparent=command.traceparent
    )
    return _record(books, command, story, events)


def _award(books: Books, command: Command) -> Outcome:
    data = command.data
    if books.lot(data["lot"]) is not None:
        raise NothingToDo(f"lot {data['lot']} was earned before")
    earned = PointsEarned(
        lot=data["lot"],
        unit=data["unit"],
        points=data["points"],
        purchase=data["purchase"],
        earned_at=parse_rfc3339(data["earned_at"]),
        expires_at=None if data["expires_at"] is None else parse_rfc3339(data["expires_at"]),
        origin=wire.origin_in(data),
    )
    owed = books.points_owed(data["member"], data["unit"])
    events = account.earn(earned, points_owed=owed, now=books.now)
    return _record(books, command, _story(command), events)


def _take_back(books: Books, command: Command) -> Outcome:
    data = command.data
    own = _own_lot(books, command)
    missing = max(0, data["points"] - own.lot.points_left)
    others = books.spendable(own.member, own.lot.unit, missing + own.lot.points_left)
    event = account.take_back(
        own.lot,
        others if missing else [],
        return_id=data["return"],
        points=data["points"],
        returned_at=parse_rfc3339(data["returned_at"]),
        origin=wire.origin_in(data),
    )
    return _record(books, command, _story(command), [event])


def _expire(books: Books, command: Command) -> Outcome:
    own = _own_lot(books, command)
    event = account.expire(own.lot, now=books.now)
    if event is None:
        raise NothingToDo(f"lot {own.lot.lot} has nothing left, or time left")
    story = Story(merchant=own.lot.merchant, member=own.member, traceparent=command.traceparent)
    return _record(books, command, story, [event])


def _lapse(books: Books, command: Command) -> Outcome:
    """A return has waited long enough."""
    merchant, return_path = command.data["merchant"], command.data["return"]
    purchase_id = return_path.partition("/")[0]
    key = key_of(merchant, "return", return_path)
    for waiting in books.waiting_for(key_of(merchant, "purchase", purchase_id)):
        known = books.outcome(key)
        if waiting.command == key and known is not None and waiting.until <= books.now:
            books.end_wait(waiting)
            detail = f"no purchase {purchase_id} arrived within {RETURN_WAITS.days} days"
            books.conclude(
                key,
                replace(known, outcome="declined", code=UnknownPurchase.code, detail=detail),
            )
            return Outcome(command.fingerprint, "recorded")
    raise NothingToDo(f"return {return_path} waits no longer")


_DECIDERS: dict[str, Callable[[Books, Command], Outcome]] = {
    "purchase": _record_purchase,
    "return": _record_return,
    "redemption": _redeem,
    "reversal": _reverse,
    "award": _award,
    "take-back": _take_back,
    "expiry": _expire,
    "lapse": _lapse,
}


def _own_lot(books: Books, command: Command) -> StoredLot:
    own = books.lot(command.data["lot"])
    if own is None or own.member != command.data["member"]:
        raise UnknownLot(f"member {command.data['member']} has no lot {command.data['lot']}")
    return own


def _purchase_key(command: Command) -> bytes:
    return key_of(command.source, "purchase", command.id.partition("/")[0])


def _story(command: Command) -> Story:
    return Story(
        merchant=command.merchant,
        member=command.data.get("member"),
        purchase=command.id if command.type == "purchase" else None,
        traceparent=command.traceparent,
    )
