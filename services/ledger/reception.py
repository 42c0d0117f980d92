"""Where commands come in: known ones are recognised, new ones go to ``intake`` and are awaited.

An id is used once, for one content. Who uses it again for another is told so here, as long as the
door knows of the first use: from the outcomes, or because it was accepted a moment ago. What slips
through, the writer refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from services.ledger.domain.cards import holder
from services.ledger.intake import TOPIC, Command
from services.ledger.recognition import Known, Recognition, parent_of
from services.ledger.store.outcomes import Outcome
from services.ledger.waiting import Outcomes
from services.runtime.database import Database, DatabaseUnavailable
from services.runtime.stream import Producer, StreamUnavailable

_REMEMBERED_MAX = 50_000
_CARDS_MAX = 10_000
_LOOK_UP_S = 10.0
_SHOPS_WAIT_S = 1.0  # for a database that does not answer
_SEND_INLINE_MAX = 50  # more messages than that are put together on a thread


@dataclass(frozen=True, slots=True)
class Taken:
    """What the door can say of a command."""

    command: Command
    outcome: Outcome | None  # None: accepted, not decided yet
    is_repeated: bool  # the same was sent before
    is_reused: bool  # its id stands for something else; nothing was accepted


@dataclass(frozen=True, slots=True)
class _Recent:
    """What was accepted a moment ago and may not be decided yet."""

    fingerprint: bytes
    member: str | None


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A command, whose order it belongs into, and the content that its id was first seen with."""

    command: Command
    member: str | None
    before: bytes | None

    @property
    def is_reused(self) -> bool:
        return self.before not in (None, self.command.fingerprint)

    def taken(self, outcome: Outcome | None) -> Taken:
        is_reused = self.is_reused
        if outcome is not None:
            is_reused = outcome.fingerprint != self.command.fingerprint
        if is_reused:
            return Taken(self.command, outcome=None, is_repeated=False, is_reused=True)
        is_repeated = self.before is not None
        return Taken(self.command, outcome, is_repeated=is_repeated, is_reused=False)


class Reception:
    """Takes commands in, for one process. Belongs to one event loop."""

    def __init__(self, database: Database, producer: Producer, outcomes: Outcomes) -> None:
        self._producer = producer
        self._outcomes = outcomes
        self._recognition = Recognition(database)
        self._recent: dict[bytes, _Recent] = {}
        self._cards: dict[str, str] = {}  # cards met lately, and their members: that is for good

    def was_accepted(self, key: bytes) -> bool:
        """Whether this command came in here a moment ago."""
        return key in self._recent

    async def check_card(self, wanted: Command) -> None:
        """Refuse a card that leads nowhere, as far as this door knows; the writer decides.

        Raises:
            UnknownCard: the number was never issued.
            BlockedCard: it leads nowhere any more.
            DatabaseUnavailable: and the command cannot do without it.
        """
        number = wanted.data.get("card")
        if number is None or wanted.key in self._recent:
            return
        known = await self._look_up([wanted])
        if wanted.key in known.outcomes or number not in known.cards:
            return
        card = known.cards[number]
        if card is not None or number not in self._cards:
            holder(card, number=number)

    async def take(self, commands: Sequence[Command], *, wait_s: float | None) -> list[Taken]:
        """Make sure that every command is on its way, and wait for the decisions.

        Raises:
            StreamUnavailable: none of them may be on its way; they may all be sent again.
            DatabaseUnavailable: likewise; only purchases whose members are known do without it.
        """
        known = await self._look_up(commands)
        arrivals = [self._arrive(command, known) for command in commands]
        news = {
            arrival.command.key: arrival
            for arrival in arrivals
            if not arrival.is_reused and arrival.command.key not in known.outcomes
        }
        with self._outcomes.awaiting(news if wait_s else ()) as wait:
            try:
                await self._send(list(news.values()))
            except StreamUnavailable:
                self._forget(arrivals)
                raise
            decided = {**known.outcomes, **(await wait.within(wait_s or 0))}
        return [arrival.taken(decided.get(arrival.command.key)) for arrival in arrivals]

    def _arrive(self, command: Command, known: Known) -> _Arrival:
        """Hold the id for this content, unless it is held for another already."""
        recent = self._recent.get(command.key)
        first = known.outcomes.get(command.key) or recent
        before = None if first is None else first.fingerprint
        if recent is None:
            recent = _Recent(command.fingerprint, self._member(command, known))
            if before is None:
                self._remember(command.key, recent)
                self._remember_card(command)
        return _Arrival(command, recent.member, before)

    def _member(self, command: Command, known: Known) -> str | None:
        """Whose order of commands it belongs into: that of what it follows up."""
        parent = parent_of(command)
        if parent is None:
            return self._named(command, known)
        recent = self._recent.get(parent)
        return recent.member if recent is not None else known.members.get(parent)

    def _named(self, command: Command, known: Known) -> str | None:
        """The member whom it names, be it by a card."""
        member: str | None = command.data.get("member")
        number = command.data.get("card")
        if member is None and number is not None:
            card = known.cards.get(number)
            return self._cards.get(number) if card is None else card.member
        return member

    async def _send(self, arrivals: Sequence[_Arrival]) -> None:
        if not arrivals:
            return
        if len(arrivals) <= _SEND_INLINE_MAX:
            sent = self._submit(arrivals)
        else:
            sent = await asyncio.to_thread(self._submit, arrivals)
        await asyncio.wrap_future(sent)

    def _submit(self, arrivals: Sequence[_Arrival]) -> Future[None]:
        messages = [arrival.command.message(arrival.member) for arrival in arrivals]
        return self._producer.submit(TOPIC, messages)

    def _remember(self, key: bytes, recent: _Recent) -> None:
        if len(self._recent) >= _REMEMBERED_MAX:
            del self._recent[next(iter(self._recent))]
        self._recent[key] = recent

    def _remember_card(self, command: Command) -> None:
        """What names it next goes where it went, and so is decided after it."""
        if command.type == "card":
            self._keep_card(command.about, command.data["member"])

    def _keep_card(self, number: str, member: str) -> None:
        self._cards[number] = member
        if len(self._cards) > _CARDS_MAX:
            del self._cards[next(iter(self._cards))]

    def _forget(self, arrivals: Sequence[_Arrival]) -> None:
        for arrival in arrivals:
            if arrival.before is None:
                self._recent.pop(arrival.command.key, None)
                if arrival.command.type == "card":
                    self._cards.pop(arrival.command.about, None)

    async def _look_up(self, commands: Sequence[Command]) -> Known:
        """What is known; of purchases nothing while the database is down: shops go on selling.

        A purchase by a card that was not met lately has to wait all the same: under whose key it
        lies decides its order among all that its member does.
        """
        can_do_without = all(self._can_do_without(command) for command in commands)
        patience_s = _SHOPS_WAIT_S if can_do_without else _LOOK_UP_S
        try:
            known = await self._recognition.look_up(commands, patience_s=patience_s)
        except DatabaseUnavailable:
            if not can_do_without:
                raise
            return Known()
        for number, card in known.cards.items():
            if card is not None:
                self._keep_card(number, card.member)
        return known

    def _can_do_without(self, command: Command) -> bool:
        """Whether it can be taken in while the database is away."""
        number = command.data.get("card")
        return command.type == "purchase" and (number is None or number in self._cards)
