"""The writer: takes what is on ``intake``, decides it, and writes it down in one transaction.

One transaction holds the events, the outcome of every command and the positions reached, and it
confirms the writer's epoch: that is where throughput comes from, and exactly-once too.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.ledger import application
from services.ledger.ahead import Ahead
from services.ledger.books import Books
from services.ledger.cache import CACHE_BYTES, WRITER, Cache
from services.ledger.intake import TOPIC, Command, Malformed, Rules, read
from services.ledger.kinds import KINDS
from services.ledger.store.outcomes import OUTCOMES_BELL
from services.runtime.checkpoints import Notary
from services.runtime.database import DatabaseUnavailable
from services.runtime.dead_letters import DeadLetter, park
from services.runtime.eventlog import EventLog, Head
from services.runtime.footing import Footing
from services.runtime.ownership import (
    Fenced,
    Place,
    Term,
    load_places,
    save_places,
)
from services.runtime.shards import WHOLE, Share, claim
from services.runtime.stream import Reader, Record, StreamUnavailable
from services.runtime.telemetry import span

_LOG = logging.getLogger(__name__)
NAME = WRITER
_POLL_S = 0.25
_TRIM_EVERY_RECORDS = 20_000
_OBJECTS_PER_COLLECTION = 50_000  # by default 700: a sixth of all work, for nothing
_READ_AHEAD_FROM_RECORDS = 100  # in a page: below, whatever comes meanwhile is better one page


def _nothing() -> None:
    """All the time is needed."""


@dataclass(frozen=True, slots=True)
class Page:
    """Records that are decided together, as far as no database is needed to understand them."""

    records: Sequence[Record]
    commands: Sequence[tuple[Record, Command]]
    letters: Sequence[DeadLetter]  # about the records that are no commands


class Writer:
    """The one that decides for a shard, as long as its term lasts."""

    def __init__(
        self,
        footing: Footing,
        *,
        rules: Rules,
        share: Share = WHOLE,
        batch_size_max: int = 2_000,
        notary: Notary | None = None,
        cache_bytes_max: int = CACHE_BYTES,
    ) -> None:
        self._database = footing.database
        self._stream = footing.stream
        self._ownership = footing.ownership
        self._clock = footing.clock
        self._rules = rules
        self._share = share
        self._batch_size_max = batch_size_max
        self._log = EventLog(footing.database, notary)
        self._cache_bytes_max = cache_bytes_max
        self._cache = Cache(cache_bytes_max)
        self._head = Head()
        self._places: dict[int, Place] = {}
        self._untrimmed = 0

    def run(self, stop: threading.Event) -> None:
        """Decide until stopped.

        Raises:
            DatabaseUnavailable: the caller starts it again later; nothing is lost.
            StreamUnavailable: likewise.
        """
        # A page is tens of thousands of small objects without a cycle among them.
        gc.set_threshold(_OBJECTS_PER_COLLECTION, 20, 20)
        reader = self._stream.reader(TOPIC)
        try:
            while not stop.is_set():
                term = self._ownership.acquire(NAME)
                if term is None:
                    stop.wait(_POLL_S)
                    continue
                try:
                    self._lead(term, reader, stop)
                except Fenced:
                    _LOG.info("another writer took over", extra={"epoch": term.epoch})
        finally:
            reader.close()

    def lag(self) -> int:
        """Commands on ``intake`` that are not decided yet."""
        with self._database.read() as connection:
            places = load_places(connection, NAME)
        reader = self._stream.reader(TOPIC)
        try:
            ends = reader.end_offsets()
        finally:
            reader.close()
        own = self._share.partitions(len(ends))
        return sum(ends[n] - places.get(n, Place()).next_offset for n in own)

    def _lead(self, term: Term, reader: Reader, stop: threading.Event) -> None:
        _LOG.info("leads", extra={"epoch": term.epoch})
        self._log.tree.catch_up(self._database, lambda each: self._ownership.confirm(each, term))
        with self._database.write() as connection:
            self._ownership.confirm(connection, term)
            claim(connection, self._share)
        self._load()
        reader.seek({n: place.next_offset for n, place in self._places.items()})
        renewed_at = self._clock()
        with Ahead(lambda: self._take(reader)) as ahead:
            while not stop.is_set():
                page = ahead.next()
                if page.records:
                    is_behind = len(page.records) >= _READ_AHEAD_FROM_RECORDS
                    self._decide_all(term, page, ahead.begin if is_behind else _nothing)
                    renewed_at = self._clock()
                elif self._clock() - renewed_at > self._ownership.lease / 3:
                    self._ownership.renew(term)
                    renewed_at = self._clock()
        self._ownership.release(term)

    def _take(self, reader: Reader) -> Page:
        return self._read(reader.poll(max_records=self._batch_size_max, timeout_s=_POLL_S))

    def _load(self) -> None:
        """Where log and positions stand; all that is remembered is forgotten."""
        count = self._stream.partition_count(TOPIC)
        with self._database.read() as connection:
            self._head = self._log.head(connection)
            places = load_places(connection, NAME)
        self._places = {n: places.get(n, Place()) for n in self._share.partitions(count)}
        self._cache = Cache(self._cache_bytes_max)

    def _decide_all(self, term: Term, page: Page, meanwhile: Callable[[], None] = _nothing) -> None:
        try:
            self._decide_batch(term, page, meanwhile)
        except (Fenced, DatabaseUnavailable, StreamUnavailable):
            self._cache = Cache(self._cache_bytes_max)
            raise
        except Exception:
            # Our own mistake: whatever one command does to us must not stop the others.
            self._load()
            if len(page.records) > 1:
                _LOG.exception("batch failed, going on one by one")
                for record in page.records:
                    self._decide_all(term, self._read([record]))
                return
            [record] = page.records
            _LOG.exception("command parked", extra={"offset": record.offset})
            self._park(term, record)

    def _decide_batch(
        self, term: Term, page: Page, meanwhile: Callable[[], None] = _nothing
    ) -> None:
        """``meanwhile``: what there is time for once only the database has something to do."""
        now = self._clock()
        letters = list(page.letters)
        # Wherever they lie: after a restore the topic may begin anew, below the place reached.
        places = dict(self._places)
        for record in page.records:
            places[record.partition] = Place(record.offset + 1)
        with self._database.write() as connection:
            self._ownership.confirm(connection, term)
            books = Books(
                connection, self._log, self._cache, self._head, shard=self._share.shard, now=now
            )
            books.adjustment_limit = self._rules.adjustment_limit
            application.fetch(books, [command for _, command in page.commands])
            for record, command in page.commands:
                try:
                    with span("ledger decide", parent=command.traceparent) as current:
                        application.decide(books, _traced(command, current.traceparent))
                except application.IdReused as reused:
                    letters.append(_letter(record, reused.code, str(reused), now))
            meanwhile()
            head = books.write()
            for letter in letters:
                park(connection, letter)
            changed = {n: place for n, place in places.items() if place != self._places[n]}
            save_places(connection, NAME, changed)
            connection.ring(OUTCOMES_BELL)
        self._head, self._places = head, places
        self._cache.trim()
        self._trim(len(page.records))

    def _read(self, records: Sequence[Record]) -> Page:
        """The commands among the records, and the rest with the reason."""
        commands: list[tuple[Record, Command]] = []
        letters: list[DeadLetter] = []
        for record in records:
            try:
                command = read(record, rules=self._rules)
                self._check_shard(command)
                commands.append((record, command))
            except Malformed as bad:
                letters.append(_letter(record, bad.code, bad.detail, self._clock(), bad))
            except Exception:
                _LOG.exception("record not understood", extra={"offset": record.offset})
                letters.append(_internal_error(record, self._clock()))
        return Page(records, commands, letters)

    def _check_shard(self, command: Command) -> None:
        """Whoever writes onto Kafka with another key would open a second account of the member.

        Raises:
            Malformed: it belongs to another shard.
        """
        member = command.data.get("member")
        is_told = member or (command.type == "purchase" and "card" not in command.data)
        if self._share.shards == 1 or not is_told:
            return
        key, count = member or command.about, self._stream.partition_count(TOPIC)
        if not self._share.owns(key, count):
            if (followed := KINDS[command.type].follows) is not None:
                detail = f"member {member} has another shard than {followed} {command.about}"
                raise Malformed("other-shard", detail)
            raise Malformed("wrong-key", f"a message with this content has the key {key!r}")

    def _park(self, term: Term, record: Record) -> None:
        letter = _internal_error(record, self._clock())
        place = Place(record.offset + 1)
        with self._database.write() as connection:
            self._ownership.confirm(connection, term)
            park(connection, letter)
            save_places(connection, NAME, {record.partition: place})
        self._places[record.partition] = place

    def _trim(self, records: int) -> None:
        """Let a stream without retention of its own forget what has been decided."""
        self._untrimmed += records
        if self._untrimmed >= _TRIM_EVERY_RECORDS:
            self._untrimmed = 0
            offsets = {n: place.next_offset for n, place in self._places.items()}
            self._stream.trim(TOPIC, offsets)


def _traced(command: Command, traceparent: str | None) -> Command:
    """The command as part of our own span, which its events will carry on."""
    if traceparent == command.traceparent:
        return command
    return msgspec.structs.replace(command, traceparent=traceparent)


def _internal_error(record: Record, now: datetime) -> DeadLetter:
    return _letter(record, "internal-error", "deciding it failed; see the log", now)


def _letter(
    record: Record, code: str, detail: str, now: datetime, bad: Malformed | None = None
) -> DeadLetter:
    errors = bad.errors if bad else ()
    return DeadLetter.of(TOPIC, record, code=code, detail=detail, parked_at=now, errors=errors)
