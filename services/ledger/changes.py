"""What a batch of commands changes, written in one go."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.ledger.domain.postings import Account
from services.ledger.domain.purchase import Part
from services.ledger.store.lots import StoredLot, save_lots
from services.ledger.store.outcomes import Outcome, save_debts, save_outcomes
from services.ledger.store.returns import WaitingReturn, save_returned, save_waiting
from services.ledger.store.totals import Totals, save_totals
from services.runtime.database import Connection
from services.runtime.eventlog import Entry, EventLog, Head


@dataclass(slots=True)
class Changes:
    """Everything that is not written yet."""

    entries: list[Entry] = field(default_factory=list)
    outcomes: dict[bytes, Outcome] = field(default_factory=dict)
    outcomes_changed: dict[bytes, Outcome] = field(default_factory=dict)  # of waiting returns
    lots_new: dict[str, StoredLot] = field(default_factory=dict)
    lots_changed: dict[str, StoredLot] = field(default_factory=dict)
    lot_entries: dict[tuple[str, int], int] = field(default_factory=dict)
    debts: dict[tuple[str, str], int] = field(default_factory=dict)
    returned: dict[tuple[bytes, str], Part] = field(default_factory=dict)
    returns: list[tuple[bytes, int]] = field(default_factory=list)
    waiting: dict[bytes, WaitingReturn] = field(default_factory=dict)
    waiting_ended: list[bytes] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)

    def note_entry(self, lot: str, position: int, account: Account, points: int) -> None:
        """An event moved points of a lot; what counts is what it did to the points at hand."""
        at_hand = points if account is Account.AVAILABLE else 0
        self.lot_entries[lot, position] = self.lot_entries.get((lot, position), 0) + at_hand

    def write(self, connection: Connection, log: EventLog, head: Head) -> Head:
        """Put everything down, in the caller's transaction; returns the new end of the log."""
        if self.entries:
            head = log.append(connection, head, self.entries)
        save_outcomes(connection, self.outcomes, self.outcomes_changed)
        if self.lots_new or self.lots_changed:
            save_lots(
                connection,
                self.lots_new.values(),
                self.lots_changed.values(),
                [(*place, points) for place, points in self.lot_entries.items()],
            )
        if self.totals.moved:
            save_totals(connection, self.totals)
        if self.debts:
            save_debts(connection, self.debts)
        if self.returned:
            save_returned(connection, self.returned, self.returns)
        if self.waiting or self.waiting_ended:
            save_waiting(connection, self.waiting.values(), self.waiting_ended)
        return head
