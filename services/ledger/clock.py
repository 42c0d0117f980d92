"""The clock: makes happen what only the passing of time decides.

It looks for lots whose end or whose promised date has come, for holds that are over and for returns
that waited long enough, and commands on ``intake`` what is due; the writer decides. Ids are derived
from what is due, so that asking twice, or by two clocks, does it once.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from uuid import UUID, uuid5

from services.ledger.intake import TOPIC, Rules, command
from services.ledger.store.holds import Hold, load_holds_due
from services.ledger.store.lots import StoredLot, load_due, load_promised
from services.ledger.store.returns import WaitingReturn, load_lapsed
from services.runtime.footing import Footing
from services.runtime.ownership import Fenced, Term
from services.runtime.shards import WHOLE, Share
from services.runtime.stream import Message, Producer

_LOG = logging.getLogger(__name__)
NAME = "ledger.clock"
SOURCE = "/clock"
_NAMESPACE = UUID("f5b8f8f6-2c39-5f6d-b0cc-1e7f0f4f3a91")
_TICK_S = 0.5
_PAGE_SIZE = 2_000
_ASK_AGAIN_AFTER_S = 10.0


class ExpiryClock:
    """Asks for the end of what has ended."""

    def __init__(self, footing: Footing, *, rules: Rules, share: Share = WHOLE) -> None:
        self._database = footing.database
        self._stream = footing.stream
        self._ownership = footing.ownership
        self._clock = footing.clock
        self._rules = rules
        self._share = share
        self._asked_at_s: dict[UUID, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Tick until stopped.

        Raises:
            DatabaseUnavailable: the caller starts it again later; what is due stays due.
            StreamUnavailable: likewise.
        """
        producer = self._stream.producer()
        try:
            while not stop.is_set():
                term = self._ownership.acquire(NAME)
                if term is not None:
                    self._lead(term, producer, stop)
                stop.wait(_TICK_S)
        finally:
            producer.close()

    def _lead(self, term: Term, producer: Producer, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self.tick(producer)
                self._ownership.renew(term)
                stop.wait(_TICK_S)
            self._ownership.release(term)
        except Fenced:
            _LOG.info("another clock took over", extra={"epoch": term.epoch})

    def tick(self, producer: Producer) -> int:
        """Ask for the end of all that is due and not asked for a moment ago; returns how many."""
        now = self._clock()
        with self._database.read() as connection:
            due = load_due(connection, now=now, limit=_PAGE_SIZE)
            promised = load_promised(connection, now=now, limit=_PAGE_SIZE)
            holds = load_holds_due(connection, now=now, limit=_PAGE_SIZE)
            waiting = load_lapsed(connection, now=now, limit=_PAGE_SIZE)
        messages = dict([self._of_lot("credit", stored) for stored in promised])
        messages |= dict([self._of_lot("expiry", stored) for stored in due])
        messages |= dict([self._hold_expiry(hold) for hold in holds])
        messages |= dict([self._lapse(waits) for waits in waiting])
        now_s = now.timestamp()
        self._asked_at_s = {
            id_: at_s for id_, at_s in self._asked_at_s.items() if now_s - at_s < _ASK_AGAIN_AFTER_S
        }
        news = {id_: m for id_, m in messages.items() if id_ not in self._asked_at_s}
        if news:
            producer.append(TOPIC, list(news.values()))
            self._asked_at_s |= dict.fromkeys(news, now_s)
            _LOG.info("asked for what is due", extra={"commands": len(news)})
        return len(news)

    def _of_lot(self, type_: str, stored: StoredLot) -> tuple[UUID, Message]:
        # A lot that is restored after its end ends again: hence the place of its last movement.
        id_ = uuid5(_NAMESPACE, f"{type_}/{stored.lot.lot}/{stored.touched}")
        data = {"member": stored.member, "lot": stored.lot.lot}
        return id_, self._message(type_, id_, data, member=stored.member)

    def _hold_expiry(self, hold: Hold) -> tuple[UUID, Message]:
        id_ = uuid5(_NAMESPACE, f"hold/{hold.merchant}/{hold.id}")
        data = {"member": hold.member, "merchant": hold.merchant, "hold": hold.id}
        return id_, self._message("hold-expiry", id_, data, member=hold.member)

    def _lapse(self, waiting: WaitingReturn) -> tuple[UUID, Message]:
        id_ = uuid5(_NAMESPACE, f"{waiting.merchant}/{waiting.id}")
        data = {"merchant": waiting.merchant, "return": waiting.id}
        message = self._message("lapse", id_, data, member=None)
        # Whatever key the return came with: it waits here.
        count = self._stream.partition_count(TOPIC)
        return id_, replace(message, key=self._share.own_key(message.key, count))

    def _message(self, type_: str, id_: UUID, data: dict[str, str], member: str | None) -> Message:
        asked = command(SOURCE, type_, str(id_), data, rules=self._rules)
        return asked.message(member)
