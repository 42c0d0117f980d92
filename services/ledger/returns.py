"""The use cases of returns: decided against their purchase, or waiting for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from services.ledger.books import Books
from services.ledger.domain import purchase
from services.ledger.domain.errors import NothingToDo, PointsSpent, Refused, UnknownPurchase
from services.ledger.domain.events import ReturnRecorded
from services.ledger.domain.purchase import SHIPPING, Part, Purchase
from services.ledger.intake import Command, key_of
from services.ledger.store.outcomes import Outcome
from services.ledger.store.returns import WaitingReturn
from services.ledger.wire import Story
from services.runtime.clock import parse_rfc3339
from services.runtime.contracts import decode

Parts = Sequence[tuple[str, Part]]
RETURN_WAITS = timedelta(days=30)


def purchase_key(command: Command) -> bytes:
    """The command of the purchase that a return or a claim is about."""
    return key_of(command.source, "purchase", command.about)


def decide_waiting(books: Books, waiting: WaitingReturn) -> None:
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
        outcome = record_return(books, command)
    except Refused as refusal:
        outcome = msgspec.structs.replace(
            known, outcome="declined", code=refusal.code, detail=str(refusal)
        )
    books.conclude(command.key, outcome)


def record_return(books: Books, command: Command) -> Outcome:
    bought_key = purchase_key(command)
    found = books.purchase(bought_key)
    if found is None:
        return _wait_for_purchase(books, command, bought_key)
    recorded, bought = found
    parts = [
        (line["line"], Part(line["quantity"], line["amount_minor"]))
        for line in command.data["lines"]
    ]
    shipping_minor = command.data.get("shipping_minor", 0)
    returned_at = parse_rfc3339(command.data["returned_at"])
    after = purchase.give_back(
        bought,
        books.returned(bought_key),
        [*parts, (SHIPPING, Part(0, shipping_minor))] if shipping_minor else parts,
        returned_at=returned_at,
    )
    purchase_id, _, return_id = command.id.partition("/")
    _refuse_if_spent(books, command.source, purchase_id, bought=bought, parts=parts)
    event = ReturnRecorded(
        purchase=purchase_id,
        return_id=return_id,
        content=command.content,
        returned_at=returned_at,
        purchased_at=bought.purchased_at,
        currency=bought.currency,
        amount_minor=sum(part.amount_minor for _, part in parts),
    )
    claim = books.belongings.claim(bought_key)
    story = Story(
        merchant=command.source,
        member=recorded.member if claim is None else claim.member,
        purchase=purchase_id,
        traceparent=command.traceparent,
    )
    outcome = books.record(story, [event], command.fingerprint)
    books.note_return(bought_key, after, outcome.first_position)
    return outcome


def _refuse_if_spent(
    books: Books, merchant: str, purchase_id: str, *, bought: Purchase, parts: Parts
) -> None:
    """Where the programme says so, nothing comes back whose points are spent.

    What rewards will take back is not known yet: at most the same share of the points as of the
    money, rounded up.

    Raises:
        PointsSpent: the member's points do not cover that.
    """
    amount_minor = sum(part.amount_minor for line, part in bought.bought.items() if line)
    given_minor = sum(part.amount_minor for _, part in parts)
    for stored in books.lots.refusing(merchant, purchase_id):
        lot = stored.lot
        points = -(-lot.points * given_minor // amount_minor) if amount_minor else 0
        spendable = books.lots.spendable(stored.member, lot.unit, points)
        available = sum(each.points_available(at=books.now) for each in spendable)
        available += lot.points_pending - books.points_owed(stored.member, lot.unit)
        if available < points:
            raise PointsSpent(points_asked=points, points_available=available)


def _wait_for_purchase(books: Books, command: Command, bought_key: bytes) -> Outcome:
    books.wait(
        WaitingReturn(
            command=command.key,
            purchase=bought_key,
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


def lapse(books: Books, command: Command) -> Outcome:
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
                msgspec.structs.replace(
                    known, outcome="declined", code=UnknownPurchase.code, detail=detail
                ),
            )
            return Outcome(command.fingerprint, "recorded")
    raise NothingToDo(f"return {return_path} waits no longer")
