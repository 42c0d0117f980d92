"""The log read again: what follows from it is worked out anew, by the code that the writer uses.

`TABLES` are those that follow from the log. Each can be shadowed, filled again from the events, and
compared with the one that is kept.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from services.ledger import wire
from services.ledger.books import Books
from services.ledger.cache import Cache
from services.ledger.contradictions import contradiction
from services.ledger.domain import postings as sides
from services.ledger.domain.events import (
    CardBlocked,
    CardIssued,
    Event,
    PointsExtended,
    PurchaseClaimed,
    PurchaseRecorded,
    ReturnRecorded,
)
from services.ledger.domain.lot import opened
from services.ledger.domain.purchase import SHIPPING, Part
from services.ledger.history import Recorded
from services.ledger.intake import key_of
from services.ledger.store.lots import load_lots
from services.runtime.database import Conflict, Connection
from services.runtime.eventlog import EventLog, Head

WITHOUT_CONSEQUENCE = wire.PREFIX + wire.NAMES[PurchaseRecorded] + wire.SUFFIX
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)  # nothing that follows depends on when it is read


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that follows from the log; the SQL says of a row whose it is and where to look."""

    name: str
    key: tuple[str, ...]
    member: str = "NULL"
    position: str = "NULL"
    fault: str = "balance"  # what `verify` calls it when it is wrong
    nothing: str | None = None  # what is true of rows that count as if they were not there


TABLES = (
    Table(name="lots", key=("lot",), member="member", position="touched"),
    Table(
        name="lot_entries",
        key=("lot", "position"),
        member="(SELECT member FROM lots WHERE lots.lot = found.lot)",
        position="position",
    ),
    Table(
        name="debts",
        key=("stream", "unit"),
        member="substr(stream, 8)",  # behind member/
        position="(SELECT position FROM events WHERE events.stream = found.stream "
        "ORDER BY version DESC LIMIT 1)",
    ),
    Table(
        name="returned",
        key=("purchase", "line"),
        fault="returns",
        position="(SELECT max(position) FROM purchase_returns "
        "WHERE purchase_returns.purchase = found.purchase)",
    ),
    Table(
        name="purchase_returns", key=("purchase", "position"), position="position", fault="returns"
    ),
    Table(name="holds", key=("hold",), member="member", position="position", fault="holds"),
    Table(
        name="claims", key=("purchase",), member="member", position="position", fault="belongings"
    ),
    Table(
        name="cards",
        key=("number",),
        member="member",
        position="coalesce(blocked_position, position)",
        fault="belongings",
    ),
    Table(
        name="movements",
        key=("grain", "happened", "recorded", "unit", "account"),
        fault="totals",
        nothing="points = 0",
    ),
    Table(
        name="settlements",
        key=("month", "minute", "issuer", "redeemer", "unit", "concerns"),
        fault="totals",
        nothing="issued = 0 AND redeemed = 0 AND reversed = 0",
    ),
)


class Inconsistent(Exception):
    """An event asks for what the events before it do not allow."""

    def __init__(self, position: int, detail: str, *, fault: str = "lots") -> None:
        super().__init__(detail)
        self.position = position
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Told:
    """A recorded event, and whose story it belongs to."""

    event: Event
    story: wire.Story
    times: wire.Times
    position: int
    event_id: str

    @classmethod
    def of(cls, recorded: Recorded) -> Told:
        """As the envelope says."""
        event = recorded.event
        story = wire.Story(
            merchant=recorded.merchant,
            member=recorded.member,
            purchase=getattr(event, "purchase", None),
        )
        times = wire.Times(recorded.occurred_at, recorded.recorded_at)
        return cls(event, story, times, recorded.position, recorded.event_id)


class Replay:
    """Follows recorded events in the order of the log; memory is bounded by the page."""

    def __init__(self, connection: Connection, log: EventLog, *, shard: int = 0) -> None:
        self._connection = connection
        self._log = log
        self._shard = shard
        self._cache = Cache()

    def follow(self, told: Sequence[Told]) -> None:
        """Work out what follows from events that the log holds already.

        Raises:
            Inconsistent: points are moved that are not there, or a lot is earned twice.
        """
        books = self._books(told, Head())
        for each in told:
            _check_belongings(books, each)
            with _Guard(each.position):
                books.follow(each.story, each.event, each.times, each.position)
                _note_return(books, each)
        self._write(books, told)

    def append(self, head: Head, told: Sequence[Told], raws: Sequence[bytes]) -> Head:
        """Put events at the end of the log, byte by byte, with what follows from them.

        Raises:
            Inconsistent: as for `follow`, or an event does not belong at its place.
        """
        books = self._books(told, head)
        for each, raw in zip(told, raws, strict=True):
            if each.position != books.next_position:
                detail = f"position {books.next_position} is missing"
                raise Inconsistent(books.next_position, detail, fault="gap")
            _check_belongings(books, each)
            with _Guard(each.position):
                event_id = UUID(each.event_id).bytes
                books.enter(each.story, each.event, each.times, event_id=event_id, raw=raw)
                _note_return(books, each)
        return self._write(books, told)

    def _books(self, told: Sequence[Told], head: Head) -> Books:
        books = Books(
            self._connection, self._log, self._cache, head, shard=self._shard, now=_LONG_AGO
        )
        books.fetch_accounts(each.story.stream for each in told)
        _fetch_belongings(books, told)
        earned: set[str] = set()
        moved: set[str] = set()
        for each in told:
            for lot in lots_opened(each):
                _check_new(each.position, lot, earned)
                earned.add(lot)
            moved |= lots_of(each.event)
        books.lots.fetch(list(moved - earned))
        return books

    def _write(self, books: Books, told: Sequence[Told]) -> Head:
        try:
            with self._connection.savepoint():
                head = books.write()
        except Conflict:
            self._find_earned_before(told)
            detail = f"it, or an event up to {told[-1].position}, cannot follow those before"
            raise Inconsistent(told[0].position, detail) from None
        self._cache.trim()
        return head

    def _find_earned_before(self, told: Sequence[Told]) -> None:
        earned = [(each, lot) for each in told for lot in lots_opened(each)]
        known = load_lots(self._connection, [lot for _, lot in earned])
        for each, lot in earned:
            _check_new(each.position, lot, known)


def _check_new(position: int, lot: str, known: Container[str]) -> None:
    if lot in known:
        raise Inconsistent(position, f"lot {lot} was earned before")


def _fetch_belongings(books: Books, told: Sequence[Told]) -> None:
    cards = [e.event.card for e in told if isinstance(e.event, CardIssued | CardBlocked)]
    claimed = [
        key_of(e.story.merchant, "purchase", e.event.purchase)
        for e in told
        if isinstance(e.event, PurchaseClaimed)
    ]
    if cards or claimed:
        books.belongings.fetch(cards=cards, purchases=claimed)


def _check_belongings(books: Books, told: Told) -> None:
    wrong = contradiction(books.belongings, told.event, told.story)
    if wrong is not None:
        raise Inconsistent(told.position, wrong, fault="belongings")


class _Guard:
    """What the books refuse to do is the event's fault."""

    def __init__(self, position: int) -> None:
        self._position = position

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, AssertionError):
            raise Inconsistent(self._position, str(error)) from error


def lots_opened(told: Told) -> list[str]:
    """The lots that begin with an event."""
    return [lot.lot for lot in opened(told.event, merchant=told.story.merchant)]


def lots_of(event: Event) -> set[str]:
    """The lots that an event changes."""
    extended = {event.lot} if isinstance(event, PointsExtended) else set()
    return extended | {each.lot for each in sides.postings(event) if each.lot is not None}


def _note_return(books: Books, told: Told) -> None:
    event = told.event
    if not isinstance(event, ReturnRecorded):
        return
    sent = msgspec.json.decode(event.content)
    parts = [(line["line"], Part(line["quantity"], line["amount_minor"])) for line in sent["lines"]]
    if shipping_minor := sent.get("shipping_minor", 0):
        parts.append((SHIPPING, Part(0, shipping_minor)))
    purchase = key_of(told.story.merchant, "purchase", event.purchase)
    after: dict[str, Part] = {}
    before = books.returned(purchase)
    for line, part in parts:
        had = after.get(line) or before.get(line) or Part(0, 0)
        after[line] = Part(had.quantity + part.quantity, had.amount_minor + part.amount_minor)
    books.note_return(purchase, after, told.position)
