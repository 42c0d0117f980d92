"""A batch's lots: served from memory as far as they have been read, changed there first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.ledger.changes import Changes
from services.ledger.domain.lot import Lot
from services.ledger.domain.parts import LotPoints
from services.ledger.domain.terms import Shortfall
from services.ledger.store.lots import StoredLot, load_lots, load_refusing, load_spendable
from services.runtime.database import Connection

_LOTS_AT_FIRST = 16  # most redemptions touch one or two
_LOTS_PER_READ = 256


@dataclass(slots=True)
class _Shelf:
    """A member's open lots of one unit, as far as they have been read in spending order."""

    last: StoredLot | None = None
    is_complete: bool = False


class Shelves:
    """The lots that one batch of commands meets."""

    def __init__(self, connection: Connection, changes: Changes, *, now: datetime) -> None:
        self.now = now
        self._connection = connection
        self._changes = changes
        self._lots: dict[str, StoredLot | None] = {}
        self._lots_of: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        self._shelves: defaultdict[tuple[str, str], _Shelf] = defaultdict(_Shelf)

    def fetch(self, lots: Sequence[str]) -> None:
        """Know these lots, also that one does not exist."""
        missing = [lot for lot in set(lots) if lot not in self._lots]
        self._lots |= dict.fromkeys(missing)
        for stored in load_lots(self._connection, missing).values():
            self._remember(stored)

    def get(self, lot: str) -> StoredLot | None:
        """A lot as it stands now."""
        if lot not in self._lots:
            self.fetch([lot])
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

    def of(self, parts: Sequence[LotPoints]) -> dict[str, Lot]:
        """The lots that these points belong to, as they stand now."""
        self.fetch([part.lot for part in parts])
        found = (self.get(part.lot) for part in parts)
        return {stored.lot.lot: stored.lot for stored in found if stored is not None}

    def refusing(self, merchant: str, purchase: str) -> list[StoredLot]:
        """The lots of a purchase that takes no return once their points are spent."""
        found = load_refusing(self._connection, merchant=merchant, purchase=purchase)
        written = [
            stored
            for stored in self._changes.lots_new.values()
            if stored.lot.terms.shortfall is Shortfall.REFUSE
            and (stored.lot.merchant, stored.lot.purchase) == (merchant, purchase)
        ]
        lots = [self.get(stored.lot.lot) for stored in (*found, *written)]
        return [stored for stored in lots if stored is not None]

    def put(self, stored: StoredLot) -> None:
        """A new lot."""
        self._remember(stored)
        self._changes.lots_new[stored.lot.lot] = stored

    def change(self, stored: StoredLot) -> None:
        """A lot as it stands from now on."""
        lot = stored.lot.lot
        before = self._lots[lot]
        self._lots[lot] = stored
        changes = self._changes
        (changes.lots_new if lot in changes.lots_new else changes.lots_changed)[lot] = stored
        if before is not None and before.lot.spending_order != stored.lot.spending_order:
            self._shelves.pop((stored.member, stored.lot.unit), None)  # its place is another

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
        if shelf.is_complete:
            return lots
        if shelf.last is None:
            return []
        last = shelf.last.lot.spending_order
        return [lot for lot in lots if lot.spending_order <= last]
