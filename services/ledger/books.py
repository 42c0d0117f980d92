"""One batch's working set: what it has read, what it changes, written in one go at the end.

Reads are served from memory where the batch or the cache knows the answer, so a thousand commands
cost a handful of statements; whatever was not fetched ahead is fetched when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from services.ledger import history, wire
from services.ledger.belongings import Belongings
from services.ledger.cache import Cache
from services.ledger.changes import Changes
from services.ledger.domain import postings as sides
from services.ledger.domain.account import Wallet
from services.ledger.domain.events import (
    Event,
    PointsExtended,
    PurchaseRecorded,
)
from services.ledger.domain.lot import Lot, opened
from services.ledger.domain.purchase import Part, Purchase
from services.ledger.intake import ADJUSTMENT_LIMIT
from services.ledger.set_aside import SetAside
from services.ledger.shelves import Shelves
from services.ledger.store.lots import StoredLot
from services.ledger.store.outcomes import Account, Outcome, load_accounts, load_outcomes
from services.ledger.store.returns import WaitingReturn, load_returned, load_waiting
from services.ledger.wire import Story
from services.runtime.clock import rfc3339
from services.runtime.database import Connection
from services.runtime.eventlog import Entry, EventLog, Head, event_id_at


class Books:
    """Everything that deciding one batch of commands needs to know and to note."""

    adjustment_limit = ADJUSTMENT_LIMIT

    def __init__(
        self,
        connection: Connection,
        log: EventLog,
        cache: Cache,
        head: Head,
        *,
        shard: int,
        now: datetime,
    ) -> None:
        self.now = now
        self.head = head
        self.belongings = Belongings(connection)
        self.set_aside = SetAside(connection)
        self._connection = connection
        self._log = log
        self._cache = cache
        self._shard = shard
        self._recorded_at = rfc3339(now)
        self._outcomes: dict[bytes, Outcome | None] = {}
        self._returned: dict[bytes, dict[str, Part]] = {}
        self._waiting: dict[bytes, list[WaitingReturn]] = {}
        self._changes = Changes()
        self.lots = Shelves(connection, self._changes, now=now)

    # Reading ahead: one statement for the whole batch each.

    def fetch_outcomes(self, commands: Sequence[bytes]) -> None:
        """Know what became of these commands, if anything."""
        self._outcomes |= dict.fromkeys(commands)
        self._outcomes |= load_outcomes(self._connection, commands)

    def fetch_accounts(self, streams: Iterable[str]) -> None:
        """Know these stories."""
        missing = self._cache.missing(streams)
        self._cache.add(load_accounts(self._connection, missing))

    def fetch_waiting(self, purchases: Sequence[bytes]) -> None:
        """Know which returns wait for these purchases."""
        self._waiting |= {purchase: [] for purchase in purchases}
        for waiting in load_waiting(self._connection, purchases):
            self._waiting[waiting.purchase].append(waiting)

    # What is known.

    def outcome(self, command: bytes) -> Outcome | None:
        """What became of a command, in this batch or before."""
        if command not in self._outcomes:
            self.fetch_outcomes([command])
        return self._outcomes[command]

    def account(self, stream: str) -> Account:
        """The state of a story."""
        if stream not in self._cache:
            self.fetch_accounts([stream])
        return self._cache[stream]

    def points_owed(self, member: str, unit: str) -> int:
        """What a member has to repay."""
        return self.account(wire.stream_of(member)).owed.get(unit, 0)

    def wallet(self, member: str, unit: str, points: int) -> Wallet:
        """What a member has at hand: enough for so many points, or all there is."""
        return Wallet(
            unit=unit,
            lots=self.lots.spendable(member, unit, points),
            points_owed=self.points_owed(member, unit),
        )

    def event_at(self, position: int) -> history.Recorded:
        """An event of the log, or one that this batch has written."""
        index = position - self.head.position - 1
        if index >= 0:
            return history.decode(self._changes.entries[index].event)
        return history.decode(self._log.at(self._connection, [position])[position])

    def purchase(self, command: bytes) -> tuple[history.Recorded, Purchase] | None:
        """A recorded purchase by its command."""
        outcome = self.outcome(command)
        if outcome is None or not outcome.first_position:
            return None
        recorded = self.event_at(outcome.first_position)
        assert isinstance(recorded.event, PurchaseRecorded)
        return recorded, history.purchase_in(recorded.event)

    def returned(self, purchase: bytes) -> dict[str, Part]:
        """What has come back of a purchase, by line."""
        if purchase not in self._returned:
            found = load_returned(self._connection, [purchase])
            self._returned[purchase] = found.get(purchase, {})
        return self._returned[purchase]

    def waiting_for(self, purchase: bytes) -> list[WaitingReturn]:
        """The returns that wait for a purchase."""
        if purchase not in self._waiting:
            self.fetch_waiting([purchase])
        return self._waiting[purchase]

    # What happens.

    def record(self, story: Story, events: Sequence[Event], fingerprint: bytes) -> Outcome:
        """Write events at the end of the log and move the points; the outcome that this makes."""
        first_position = self.next_position
        for event in events:
            self._record(story, event)
        return Outcome(
            fingerprint, "recorded", first_position=first_position, event_count=len(events)
        )

    @property
    def next_position(self) -> int:
        """Where the next event will stand."""
        return self.head.position + len(self._changes.entries) + 1

    def conclude(self, command: bytes, outcome: Outcome) -> None:
        """Note what became of a command."""
        is_new = self._outcomes.get(command) is None or command in self._changes.outcomes
        changed = self._changes.outcomes if is_new else self._changes.outcomes_changed
        changed[command] = outcome
        self._outcomes[command] = outcome

    def note_return(self, purchase: bytes, after: dict[str, Part], position: int) -> None:
        """Note what has come back, and where that stands."""
        self._returned[purchase] = {**self.returned(purchase), **after}
        self._changes.returned |= {(purchase, line): part for line, part in after.items()}
        self._changes.returns.append((purchase, position))

    def wait(self, waiting: WaitingReturn) -> None:
        """Keep a return until its purchase arrives."""
        self.waiting_for(waiting.purchase).append(waiting)
        self._changes.waiting[waiting.command] = waiting

    def end_wait(self, waiting: WaitingReturn) -> None:
        """It has been decided."""
        self._waiting[waiting.purchase] = [
            other for other in self.waiting_for(waiting.purchase) if other != waiting
        ]
        if self._changes.waiting.pop(waiting.command, None) is None:
            self._changes.waiting_ended.append(waiting.command)

    def write(self) -> Head:
        """Put everything down; returns the new end of the log."""
        self.belongings.write()
        self.set_aside.write()
        return self._changes.write(self._connection, self._log, self.head)

    def enter(
        self, story: Story, event: Event, times: wire.Times, *, event_id: bytes, raw: bytes
    ) -> None:
        """Put these bytes at the end of the log, and let what follows from the event follow."""
        account, position = self.account(story.stream), self.next_position
        account.version += 1
        entry = Entry(story.stream, account.version, wire.type_of(event), event_id, raw)
        self._changes.entries.append(entry)
        self.follow(story, event, times, position)

    def follow(self, story: Story, event: Event, times: wire.Times, position: int) -> None:
        """Move what an event of the log moves; rebuilding does only this."""
        account = self.account(story.stream)
        self._changes.totals.note(event, merchant=story.merchant, times=times)
        self.belongings.note(event, story, position)
        self.set_aside.note(event, story, position)
        for lot in opened(event, merchant=story.merchant):
            self._open_lot(lot, story, account, position)
        if isinstance(event, PointsExtended):
            self._extend_lot(event, position)
        self._move_points(event, story, account, position)

    def _record(self, story: Story, event: Event) -> None:
        position = self.next_position
        event_id = event_id_at(self._shard, position)
        place = wire.Place(
            shard=self._shard,
            position=position,
            event_id=event_id,
            recorded_at=self._recorded_at,
        )
        occurred_at, raw = wire.encode(event, story, place)
        self.enter(story, event, wire.Times(occurred_at, self.now), event_id=event_id, raw=raw)

    def _open_lot(self, lot: Lot, story: Story, account: Account, position: int) -> None:
        assert story.member is not None, "points belong to a member"
        stored = StoredLot(lot, story.member, position, position)
        self.lots.put(stored)
        if lot.unit not in account.owed:
            # Nothing is owed; the row says that the member has had this unit.
            account.owed[lot.unit] = 0
            self._changes.debts[story.stream, lot.unit] = 0

    def _extend_lot(self, event: PointsExtended, position: int) -> None:
        stored = self.lots.get(event.lot)
        assert stored is not None, f"no lot {event.lot}"
        lot = replace(stored.lot, expires_at=event.expires_at)
        self.lots.change(replace(stored, lot=lot, touched=position))

    def _move_points(self, event: Event, story: Story, account: Account, position: int) -> None:
        for posting in sides.postings(event):
            if posting.account in sides.OF_LOTS:
                assert posting.lot is not None, "a member's points lie in lots"
                self._move_lot(posting.lot, posting.account, posting.points, position)
            elif posting.account is sides.Account.OWED:
                unit: str = event.unit  # type: ignore[union-attr]  # events with postings have one
                account.owed[unit] = account.owed.get(unit, 0) - posting.points
                assert account.owed[unit] >= 0, f"{story.stream} owes less than nothing"
                self._changes.debts[story.stream, unit] = account.owed[unit]

    def _move_lot(self, lot: str, account: sides.Account, points: int, position: int) -> None:
        stored = self.lots.get(lot)
        assert stored is not None, f"no lot {lot}"
        self.lots.change(replace(stored, lot=stored.lot.moved(account, points), touched=position))
        if position != stored.position:
            self._changes.note_entry(lot, position, account, points)
