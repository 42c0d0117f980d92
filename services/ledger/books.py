"""One batch's working set: what it has read, what it changes, written in one go at the end.

Reads are served from memory where the batch or the cache knows the answer, so a thousand commands
cost a handful of statements; whatever was not fetched ahead is fetched when it is asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.ledger import history, wire
from services.ledger.belongings import Belongings
from services.ledger.cache import Cache
from services.ledger.changes import Changes
from services.ledger.domain import postings as sides
from services.ledger.domain.account import Lot
from services.ledger.domain.events import Event, PointsEarned, PurchaseRecorded
from services.ledger.domain.purchase import Part, Purchase
from services.ledger.store.lots import StoredLot, load_lots, load_spendable
from services.ledger.store.outcomes import Account, Outcome, load_accounts, load_outcomes
from services.ledger.store.returns import WaitingReturn, load_returned, load_waiting
from services.ledger.wire import Story
from services.runtime.clock import rfc3339
from services.runtime.database import Connection
from services.runtime.eventlog import Entry, EventLog, Head, event_id_at

_LOTS_AT_FIRST = 16  # most redemptions touch one or two
_LOTS_PER_READ = 256


@dataclass(slots=True)
class _Shelf:
    """A member's open lots of one unit, as far as they have been read in spending order."""

    last: StoredLot | None = None
    is_complete: bool = False


class Books:
    """Everything that deciding one batch of commands needs to know and to note."""

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
        self._connection = connection
        self._log = log
        self._cache = cache
        self._shard = shard
        self._recorded_at = rfc3339(now)
        self._outcomes: dict[bytes, Outcome | None] = {}
        self._lots: dict[str, StoredLot | None] = {}
        self._lots_of: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        self._shelves: defaultdict[tuple[str, str], _Shelf] = defaultdict(_Shelf)
        self._returned: dict[bytes, dict[str, Part]] = {}
        self._waiting: dict[bytes, list[WaitingReturn]] = {}
        self._changes = Changes()

    # Reading ahead: one statement for the whole batch each.

    def fetch_outcomes(self, commands: Sequence[bytes]) -> None:
        """Know what became of these commands, if anything."""
        self._outcomes |= dict.fromkeys(commands)
        self._outcomes |= load_outcomes(self._connection, commands)

    def fetch_accounts(self, streams: Iterable[str]) -> None:
        """Know these stories."""
        missing = self._cache.missing(streams)
        self._cache.add(load_accounts(self._connection, missing))

    def fetch_lots(self, lots: Sequence[str]) -> None:
        """Know these lots, also that one does not exist."""
        missing = [lot for lot in set(lots) if lot not in self._lots]
        self._lots |= dict.fromkeys(missing)
        for stored in load_lots(self._connection, missing).values():
            self._remember(stored)

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

    def lot(self, lot: str) -> StoredLot | None:
        """A lot as it stands now."""
        if lot not in self._lots:
            self.fetch_lots([lot])
        return self._lots[lot]

    def spendable(self, member: str, unit: str, points: int) -> list[Lot]:
        """Open, unexpired lots in spending order: enough to cover, or all there are."""
        shelf = self._shelves[member, unit]
        while True:
            lots = self._open_lots(member, unit, shelf)
            covered = sum(lot.points_left for lot in lots)
            if shelf.is_complete or covered >= points:
                return lots
            limit = _LOTS_AT_FIRST if shelf.last is None else _LOTS_PER_READ
            found = load_spendable(self._connection, member, unit, after=shelf.last, limit=limit)
            for stored in found:
                if stored.lot.lot not in self._lots:
                    self._remember(stored)
            shelf.last = found[-1] if found else shelf.last
            shelf.is_complete = len(found) < limit

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
        if isinstance(event, PointsEarned):
            self._open_lot(event, story, position)
            if event.unit not in account.owed:
                # Nothing is owed; the row says that the member has had this unit.
                account.owed[event.unit] = 0
                self._changes.debts[story.stream, event.unit] = 0
        else:
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

    def _open_lot(self, event: PointsEarned, story: Story, position: int) -> None:
        assert story.member is not None, "points belong to a member"
        lot = Lot(
            lot=event.lot,
            unit=event.unit,
            points=event.points,
            points_left=event.points,
            earned_at=event.earned_at,
            expires_at=event.expires_at,
            purchase=event.purchase,
            merchant=story.merchant,
        )
        stored = StoredLot(lot, story.member, position, position)
        self._remember(stored)
        self._changes.lots_new[event.lot] = stored

    def _move_points(self, event: Event, story: Story, account: Account, position: int) -> None:
        for posting in sides.postings(event):
            if posting.account is sides.Account.AVAILABLE:
                assert posting.lot is not None, "a member's points lie in lots"
                self._move_lot(posting.lot, posting.points, position)
            elif posting.account is sides.Account.OWED:
                unit: str = event.unit  # type: ignore[union-attr]  # events with postings have one
                account.owed[unit] = account.owed.get(unit, 0) - posting.points
                assert account.owed[unit] >= 0, f"{story.stream} owes less than nothing"
                self._changes.debts[story.stream, unit] = account.owed[unit]

    def _move_lot(self, lot: str, points: int, position: int) -> None:
        stored = self.lot(lot)
        assert stored is not None, f"no lot {lot}"
        moved = replace(stored, lot=stored.lot.moved(points), touched=position)
        self._lots[lot] = moved
        changes = self._changes
        (changes.lots_new if lot in changes.lots_new else changes.lots_changed)[lot] = moved
        changes.lot_entries[lot, position] = points

    def _remember(self, stored: StoredLot) -> None:
        self._lots[stored.lot.lot] = stored
        self._lots_of[stored.member, stored.lot.unit][stored.lot.lot] = None

    def _open_lots(self, member: str, unit: str, shelf: _Shelf) -> list[Lot]:
        """Of those in memory, the ones up to where the shelf has been read."""
        known = (self._lots[lot] for lot in self._lots_of[member, unit])
        lots = [
            stored.lot
            for stored in known
            if stored is not None and stored.lot.points_available(at=self.now) > 0
        ]
        lots.sort(key=lambda lot: lot.spending_order)
        if shelf.is_complete or shelf.last is None:
            return lots if shelf.is_complete else []
        last = shelf.last.lot.spending_order
        return [lot for lot in lots if lot.spending_order <= last]
