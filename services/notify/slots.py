"""Which endpoints a dispatcher serves: endpoints fall into slots, slots are held under leases."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from services.runtime.database import Connection, Database
from services.runtime.ownership import Fenced, Ownership, Term

SLOTS: Final = 16  # and as many dispatchers at most have something to do
_PREFIX: Final = "notify.dispatcher/"


class Slots:
    """A fair part of the slots. All but the questions is called on one thread at a time."""

    def __init__(self, ownership: Ownership, database: Database) -> None:
        self._ownership = ownership
        self._database = database
        self._seat: Term | None = None
        self._terms: dict[int, Term] = {}
        self._leaving: set[int] = set()

    def is_held(self, endpoint: int) -> bool:
        """Whether the endpoint's slot is ours."""
        return endpoint % SLOTS in self._terms

    def is_open(self, endpoint: int) -> bool:
        """Whether something may be begun for the endpoint."""
        slot = endpoint % SLOTS
        return slot in self._terms and slot not in self._leaving

    def take_share(self, is_idle: Callable[[int], bool]) -> None:
        """Keep what is held, take what is free, make room for others; ask again soon.

        Args:
            is_idle: whether a slot has nothing in hand; only then it is given away.
        """
        self.confirm()
        self._sit_down()
        alive = self._ownership.owners_alive(_PREFIX) | {self._ownership.owner}
        share = -(-SLOTS // len(alive))
        for slot in range(SLOTS):
            if len(self._terms) < share and slot not in self._terms:
                term = self._ownership.acquire(f"{_PREFIX}slot/{slot}")
                if term:
                    self._terms[slot] = term
        self._leaving = set(sorted(self._terms)[share:])
        for slot in [each for each in self._leaving if is_idle(each)]:
            self._ownership.release(self._terms.pop(slot))
            self._leaving.discard(slot)

    def confirm(self) -> None:
        """Extend every lease; forget those that somebody else has."""
        with self._database.write() as connection:
            held = dict(self._terms)
            if self._seat and not self._is_confirmed(connection, self._seat):
                self._seat = None
            self._terms = {
                slot: term for slot, term in held.items() if self._is_confirmed(connection, term)
            }

    def confirm_in(self, connection: Connection, numbers: Iterable[int]) -> None:
        """Prove within a transaction that these endpoints are still ours.

        Raises:
            Fenced: one of them is not.
        """
        for slot in sorted({number % SLOTS for number in numbers}):
            term = self._terms.get(slot)
            if term is None:
                raise Fenced(f"slot {slot} is somebody else's")
            self._ownership.confirm(connection, term)

    def give_all_back(self) -> None:
        """Let others in at once."""
        for term in (*self._terms.values(), *([self._seat] if self._seat else [])):
            self._ownership.release(term)
        self._terms, self._seat = {}, None

    def _sit_down(self) -> None:
        """Hold a seat, so that others count us while all slots are still theirs."""
        for seat in range(SLOTS if self._seat is None else 0):
            self._seat = self._ownership.acquire(f"{_PREFIX}seat/{seat}")
            if self._seat:
                return

    def _is_confirmed(self, connection: Connection, term: Term) -> bool:
        try:
            self._ownership.confirm(connection, term)
        except Fenced:
            return False
        return True
