"""The use case of claims: a stranger's purchase becomes a member's, under the rules of its day."""

from __future__ import annotations

from services.ledger.books import Books
from services.ledger.domain import claims
from services.ledger.domain.errors import UnknownPurchase
from services.ledger.domain.events import PurchaseRecorded
from services.ledger.intake import Command
from services.ledger.returns import purchase_key
from services.ledger.store.outcomes import Outcome
from services.ledger.wire import Story


def claim_purchase(books: Books, command: Command) -> Outcome:
    key = purchase_key(command)
    found = books.purchase(key)
    if found is None:
        raise UnknownPurchase(f"{command.source} has recorded no purchase {command.about}")
    recorded, _ = found
    assert isinstance(recorded.event, PurchaseRecorded)
    member = command.data["member"]
    before = books.belongings.claim(key)
    event = claims.claim(
        claims.Sale(
            recorded=recorded.event,
            recorded_at=recorded.recorded_at,
            bought_by=recorded.member,
            claimed_by=None if before is None else before.member,
            returned=books.returned(key),
        ),
        member=member,
        now=books.now,
    )
    if event is None:
        assert before is not None, "it is the member's already"
        return Outcome(command.fingerprint, "recorded", first_position=before.position)
    story = Story(merchant=command.source, member=member, traceparent=command.traceparent)
    return books.record(story, [event], command.fingerprint)
