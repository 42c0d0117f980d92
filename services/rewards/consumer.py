"""The projector: what the ledger recorded becomes awards, and returns take them back.

Awards are commands on topic ``intake`` like any other: rewards asks, the ledger decides. They are
sent *before* the page's transaction commits. After a crash in between the page is folded again
and the same commands are sent again, with the same ids, which are derived from what they are
about; the ledger knows them and changes nothing. The other way round a crash would lose them.

Only a programme's version activated in between could make a difference. Then what the ledger
granted first stands: its own event corrects the version that is noted here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from services.rewards import commands
from services.rewards.commands import Headers, award_command, take_back_command
from services.rewards.domain.awards import Purchase, Return, awards_of, take_backs_of
from services.rewards.store import KeptPurchase, Rulebook, load_purchases, save_purchases
from services.runtime.clock import parse_rfc3339
from services.runtime.database import Connection
from services.runtime.footing import Footing
from services.runtime.projection import Event, Projector
from services.runtime.stream import Message, Producer
from services.runtime.telemetry import inject, span

NAME: Final = "rewards.projector"
TOPIC: Final = "ledger"

_PURCHASE: Final = "stampbook.purchase.recorded.v1"
_CLAIM: Final = "stampbook.purchase.claimed.v1"
_RETURN: Final = "stampbook.return.recorded.v1"
_EARNED: Final = "stampbook.points.earned.v1"


class _Line(msgspec.Struct, gc=False):
    amount_minor: int


class _Bought(msgspec.Struct):
    """What rules need of a recorded purchase; the rest is not even decoded."""

    purchase: str
    purchased_at: str
    currency: str
    lines: list[_Line]

    @property
    def kept_minor(self) -> int:
        """The sum of its lines, as far as nothing came back of them."""
        return sum(line.amount_minor for line in self.lines)


class _Claimed(_Bought):
    """A stranger's purchase that became a member's, perhaps after some of it came back."""

    recorded_at: str  # the purchase
    returned_minor: int

    @property
    def kept_minor(self) -> int:
        """The sum of its lines, less what had come back when it was claimed."""
        return sum(line.amount_minor for line in self.lines) - self.returned_minor


class _Returned(msgspec.Struct, rename={"return_id": "return"}):
    purchase: str
    return_id: str
    returned_at: str
    amount_minor: int  # of lines; shipping earned nothing and takes nothing back


class _Earned(msgspec.Struct):
    purchase: str
    programme: str
    version: int


_Fact = _Bought | _Returned | _Earned
_DECODE: Mapping[str, Callable[[msgspec.Raw], _Fact]] = {
    _PURCHASE: msgspec.json.Decoder(_Bought).decode,
    _CLAIM: msgspec.json.Decoder(_Claimed).decode,
    _RETURN: msgspec.json.Decoder(_Returned).decode,
    _EARNED: msgspec.json.Decoder(_Earned).decode,
}


class AwardsProjector:
    """Follows the ledger and asks it for what its purchases earn."""

    def __init__(self, footing: Footing, *, page_size_max: int = 1_000) -> None:
        self._stream = footing.stream
        self._producer: Producer | None = None
        self._rulebook = Rulebook()
        self._projector = Projector(
            name=NAME, topic=TOPIC, footing=footing, fold=self._fold, page_size_max=page_size_max
        )

    def run(self, stop: threading.Event) -> None:
        """Fold until stopped.

        Raises:
            DatabaseUnavailable: the caller starts it again later; nothing is lost.
            StreamUnavailable: likewise.
        """
        self._producer = self._stream.producer()
        try:
            self._projector.run(stop)
        finally:
            self._producer.close()

    def lag(self) -> int:
        """Records of the topic that are not folded yet."""
        return self._projector.lag()

    def _fold(self, connection: Connection, events: Sequence[Event]) -> None:
        assert self._producer is not None, "run opens it"
        asked = fold(connection, events, self._rulebook)
        if asked:
            self._producer.append(commands.TOPIC, asked)


def fold(connection: Connection, events: Sequence[Event], rulebook: Rulebook) -> list[Message]:
    """Note what a page of events changes; returns the commands that it asks for, in order.

    However many events: one statement looks at the programmes, one reads purchases, one writes.
    """
    # A stranger, who has no subject, earns nothing.
    facts = [
        (event, _DECODE[event.type](event.envelope.data))
        for event in events
        if event.type in _DECODE and event.envelope.subject is not None
    ]
    if not facts:
        return []
    rulebook.look(connection)
    known = {_key(event, fact) for event, fact in facts if isinstance(fact, _Bought)}
    touched = {_key(event, fact) for event, fact in facts}
    page = _Page(rulebook, load_purchases(connection, touched - known))
    for event, fact in facts:
        with span("rewards fold", parent=event.envelope.traceparent) as current:
            page.take(event, fact, inject(current.traceparent))
    save_purchases(connection, page.changed)
    return page.asked


class _Page:
    """The purchases that one page of events touches, and the commands that come of it."""

    def __init__(self, rulebook: Rulebook, purchases: dict[str, KeptPurchase]) -> None:
        self.asked: list[Message] = []
        self.changed: dict[str, KeptPurchase] = {}
        self._rulebook = rulebook
        self._purchases = purchases

    def take(self, event: Event, fact: _Fact, headers: Headers) -> None:
        """One event more."""
        key = _key(event, fact)
        if isinstance(fact, _Bought):
            self._purchases[key] = self.changed[key] = self._buy(event, fact, headers)
            return
        kept = self._purchases.get(key)
        if kept is None:
            # The log has nothing of a purchase before the purchase: it was parked as unreadable.
            raise ValueError(f"nothing is known of purchase {key}")
        if isinstance(fact, _Returned):
            kept = self._bring_back(event, fact, kept, headers)
        elif kept.versions.get(fact.programme) != fact.version:
            kept = replace(kept, versions={**kept.versions, fact.programme: fact.version})
        else:
            return
        self.changed[key] = self._purchases[key] = kept

    def _buy(self, event: Event, bought: _Bought, headers: Headers) -> KeptPurchase:
        merchant, member = event.envelope.merchant, event.envelope.subject
        assert merchant is not None
        assert member is not None
        purchase = Purchase(
            merchant=merchant,
            purchase=bought.purchase,
            amount_minor=bought.kept_minor,
            purchased_at=parse_rfc3339(bought.purchased_at),
        )
        recorded_at = parse_rfc3339(
            bought.recorded_at if isinstance(bought, _Claimed) else event.envelope.recordedat
        )
        programmes = self._rulebook.programmes_for(
            purchase, currency=bought.currency, recorded_at=recorded_at
        )
        self.asked += [
            award_command(
                award,
                purchase,
                programme,
                member=member,
                purchased_at=bought.purchased_at,
                headers=headers,
            )
            for programme in programmes
            for award in awards_of(purchase, programme)
        ]
        return KeptPurchase(
            member=member,
            currency=bought.currency,
            kept_minor=purchase.amount_minor,
            versions={programme.name: programme.version for programme in programmes},
        )

    def _bring_back(
        self, event: Event, brought: _Returned, kept: KeptPurchase, headers: Headers
    ) -> KeptPurchase:
        assert event.envelope.merchant is not None
        assert brought.amount_minor <= kept.kept_minor, "the ledger declines such returns"
        returned = Return(
            merchant=event.envelope.merchant,
            purchase=brought.purchase,
            return_id=brought.return_id,
            kept_before_minor=kept.kept_minor,
            kept_after_minor=kept.kept_minor - brought.amount_minor,
        )
        self.asked += [
            take_back_command(
                take_back,
                returned,
                programme,
                member=kept.member,
                returned_at=brought.returned_at,
                headers=headers,
            )
            for programme in self._rulebook.programmes(kept.versions)
            for take_back in take_backs_of(returned, programme)
        ]
        return replace(kept, kept_minor=returned.kept_after_minor)


def _key(event: Event, fact: _Fact) -> str:
    """How purchases are kept: neither id can hold a slash."""
    return f"{event.envelope.merchant}/{fact.purchase}"
