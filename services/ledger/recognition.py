"""Recognising commands that came before: one read for all who ask at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from services.ledger.domain.cards import Card
from services.ledger.intake import Command, key_of
from services.ledger.kinds import KINDS
from services.ledger.store.belongings import load_cards
from services.ledger.store.outcomes import Outcome, load_outcomes
from services.runtime.database import Database, DatabaseUnavailable
from services.runtime.eventlog import EventLog

_ASK_AGAIN_AFTER_S = 1.0
_COMMANDS_PER_READ = 500  # so that nobody waits long behind a large batch


@dataclass(frozen=True, slots=True)
class Known:
    """What the database says of commands and of those that they follow up."""

    outcomes: dict[bytes, Outcome] = field(default_factory=dict)
    members: dict[bytes, str | None] = field(default_factory=dict)  # by purchase or redemption
    cards: dict[str, Card | None] = field(default_factory=dict)  # None: there is none


@dataclass(slots=True)
class _Round:
    """Those who are answered by the same read."""

    asked: dict[object, Sequence[Command]] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    known: Known | None = None  # None when done: the database did not answer


class _Subject(msgspec.Struct):
    subject: str | None = None


_decode_subject = msgspec.json.Decoder(_Subject).decode


class Recognition:
    """Looks commands up. Belongs to one event loop; its task lives only while somebody asks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._log = EventLog(database)
        self._next = _Round()
        self._reading: asyncio.Task[None] | None = None
        self._ask_again_at_s = 0.0

    async def look_up(self, commands: Sequence[Command], *, patience_s: float) -> Known:
        """What is known of these commands.

        Raises:
            DatabaseUnavailable: at the latest when patience ends.
        """
        found = Known()
        for start in range(0, len(commands), _COMMANDS_PER_READ):
            some = commands[start : start + _COMMANDS_PER_READ]
            part = await self._join(some, patience_s=patience_s)
            found.outcomes.update(part.outcomes)
            found.members.update(part.members)
            found.cards.update(part.cards)
        return found

    async def _join(self, commands: Sequence[Command], *, patience_s: float) -> Known:
        if time.monotonic() < self._ask_again_at_s:
            raise DatabaseUnavailable("did not answer a moment ago")
        joined, ticket = self._next, object()
        joined.asked[ticket] = commands
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_all())
        try:
            await asyncio.wait_for(joined.done.wait(), patience_s)
        except TimeoutError:
            joined.asked.pop(ticket, None)
        if joined.known is None:
            raise DatabaseUnavailable("does not answer")
        return joined.known

    async def _read_all(self) -> None:
        while self._next.asked:
            current, self._next = self._next, _Round()
            commands = [command for asked in current.asked.values() for command in asked]
            try:
                current.known = await asyncio.to_thread(self._load, commands)
            except DatabaseUnavailable:
                # Not everybody has to find out anew.
                self._ask_again_at_s = time.monotonic() + _ASK_AGAIN_AFTER_S
            current.done.set()

    def _load(self, commands: Sequence[Command]) -> Known:
        parents = {key for command in commands if (key := parent_of(command)) is not None}
        keys = {command.key for command in commands} | parents
        numbers = {command.data["card"] for command in commands if "card" in command.data}
        with self._database.read() as connection:
            outcomes = load_outcomes(connection, list(keys))
            places = {
                key: outcomes[key].first_position
                for key in parents
                if key in outcomes and outcomes[key].first_position
            }
            events = self._log.at(connection, list(places.values()))
            stored = load_cards(connection, list(numbers))
        members = {key: _decode_subject(events[at]).subject for key, at in places.items()}
        cards = dict.fromkeys(numbers) | {number: stored[number].card for number in stored}
        return Known(outcomes, members, cards)


def parent_of(command: Command) -> bytes | None:
    """The purchase of a return or a claim, the redemption of a reversal."""
    followed = KINDS[command.type].follows
    if followed is None:
        return None
    return key_of(command.source, followed, command.about)
