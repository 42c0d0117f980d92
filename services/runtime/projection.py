"""Views built from a topic: one page of events, the view and its position in one transaction.

Instances of the same projector share a topic's partitions by leases. A record that is no event is
parked with its reason, and the records after it go on; an event that cannot be folded stops its
partition, and is tried again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from services.runtime.database import Connection, DatabaseUnavailable
from services.runtime.dead_letters import DeadLetter, park
from services.runtime.footing import Footing
from services.runtime.ownership import Fenced, Place, Term, load_places, save_places
from services.runtime.stream import Reader, Record, StreamUnavailable

_LOG = logging.getLogger(__name__)
_POLL_S = 0.5
_GATHER_S: Final = 0.05  # after a short page: what happens meanwhile goes together
_SHARES_EVERY_S: Final = 2.0


class Envelope(msgspec.Struct, frozen=True):
    """A CloudEvent of ours; attributes that it does not name are ignored."""

    id: str
    source: str
    type: str
    time: str
    position: int
    recordedat: str
    data: msgspec.Raw
    subject: str | None = None
    merchant: str | None = None
    shard: int = 0
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One event as read from a topic: what it says, its bytes, and where it lay."""

    envelope: Envelope
    record: Record

    @property
    def type(self) -> str:
        """For example ``stampbook.points.earned.v1``."""
        return self.envelope.type

    @property
    def raw(self) -> bytes:
        """The very bytes of the log."""
        return self.record.value


Fold = Callable[[Connection, Sequence[Event]], None]
_decode = msgspec.json.Decoder(Envelope).decode


class Projector:
    """Follows one topic and folds it into one database."""

    def __init__(
        self,
        *,
        name: str,
        topic: str,
        footing: Footing,
        fold: Fold,
        page_size_max: int = 1_000,
    ) -> None:
        self.name = name
        self.topic = topic
        self._database = footing.database
        self._stream = footing.stream
        self._ownership = footing.ownership
        self._clock = footing.clock
        self._fold = fold
        self._page_size_max = page_size_max
        self._seat: Term | None = None
        self._terms: dict[int, Term] = {}
        self._places: dict[int, Place] = {}
        self._stuck: dict[int, int] = {}  # partitions that wait for our mistake to be mended
        self._reader: Reader | None = None

    def run(self, stop: threading.Event) -> None:
        """Fold until stopped.

        Raises:
            DatabaseUnavailable: the caller starts it again later.
            StreamUnavailable: likewise.
        """
        reader = self._reader = self._stream.reader(self.topic)
        next_share_at_s = 0.0
        try:
            while not stop.is_set():
                now_s = self._clock().timestamp()
                if now_s >= next_share_at_s:
                    self._take_share(reader)
                    next_share_at_s = now_s + _SHARES_EVERY_S
                if not self._terms:
                    stop.wait(_POLL_S)
                    continue
                records = reader.poll(max_records=self._page_size_max, timeout_s=_POLL_S)
                if records:
                    self._fold_page_or_stop(records)
                if 0 < len(records) < self._page_size_max:
                    stop.wait(_GATHER_S)
        finally:
            self._reader = None
            reader.close()
            self._give_back()

    def lag(self) -> int:
        """Records of the topic that are not folded yet, over all partitions.

        Raises:
            RuntimeError: a partition waits for our mistake to be mended.
        """
        if self._stuck:
            raise RuntimeError(f"{self.name} cannot fold, by partition and offset: {self._stuck}")
        with self._database.read() as connection:
            places = load_places(connection, self.name)
        reader = self._stream.reader(self.topic)
        try:
            ends = reader.end_offsets()
        finally:
            reader.close()
        return sum(end - places.get(n, Place()).next_offset for n, end in ends.items())

    def _take_share(self, reader: Reader) -> None:
        """Hold a fair part of the partitions; renew what is held."""
        held = dict(self._terms)
        self._renew()
        count = self._stream.partition_count(self.topic)
        alive = self._ownership.owners_alive(f"{self.name}/")
        share = -(-count // len(alive))
        while len(self._terms) > share:
            self._ownership.release(self._terms.popitem()[1])
        for partition in range(count):
            if partition not in self._terms and len(self._terms) < share:
                term = self._ownership.acquire(f"{self.name}/{partition}")
                if term is not None:
                    self._terms[partition] = term
        # A term that ended and began anew in between counts: another may have moved the place.
        if self._terms != held or self._stuck:
            self._seek(reader)

    def _renew(self) -> None:
        # A seat says that this instance is there, also while others hold every partition.
        if self._seat is None:
            self._seat = self._ownership.acquire(f"{self.name}/seat/{self._ownership.owner}")
        seat = [] if self._seat is None else [self._seat]
        owned = self._ownership.renew_all([*seat, *self._terms.values()])
        self._terms = {n: term for n, term in self._terms.items() if term.name in owned}
        if self._seat is not None and self._seat.name not in owned:
            self._seat = None

    def _seek(self, reader: Reader) -> None:
        with self._database.read() as connection:
            places = load_places(connection, self.name)
        self._stuck.clear()
        self._places = {n: places.get(n, Place()) for n in self._terms}
        reader.seek({n: place.next_offset for n, place in self._places.items()})

    def _give_back(self) -> None:
        seat = [] if self._seat is None else [self._seat]
        try:
            for term in (*self._terms.values(), *seat):
                self._ownership.release(term)
        except DatabaseUnavailable:
            _LOG.warning("leases run out by themselves", extra={"projector": self.name})
        self._terms.clear()
        self._seat = None

    def _fold_page_or_stop(self, records: Sequence[Record]) -> None:
        try:
            self._fold_page([r for r in records if r.partition not in self._stuck])
        except Fenced:
            _LOG.info("partition taken over", extra={"projector": self.name})
            self._terms.clear()
            self._places.clear()
        except (DatabaseUnavailable, StreamUnavailable):
            raise
        except Exception as error:
            if len(records) > 1:
                _LOG.exception("page failed, going on one by one", extra={"projector": self.name})
                for record in records:
                    self._fold_page_or_stop([record])
                return
            self._set_aside(records[0], error)

    def _set_aside(self, record: Record, error: Exception) -> None:
        """One record that alone makes the fold fail.

        A field that cannot be read makes it no event of ours: it is parked. Anything else is our
        own mistake: its partition waits for it to be mended, so that nothing is lost.
        """
        place = {"partition": record.partition, "offset": record.offset}
        _LOG.error("the fold failed", exc_info=error, extra={"projector": self.name, **place})
        if not isinstance(error, ValueError):
            self._stuck[record.partition] = record.offset
            return
        reached = Place(record.offset + 1, self._places[record.partition].last_position)
        with self._database.write() as connection:
            self._confirm(connection, (record.partition,))
            park(connection, self._letter(record))
            save_places(connection, self.name, {record.partition: reached})
        self._places[record.partition] = reached

    def _fold_page(self, records: Sequence[Record]) -> None:
        """One transaction: the view, the places reached, and proof of still owning them."""
        if not records:
            return
        places = dict(self._places)
        events: list[Event] = []
        poison: list[Record] = []
        for record in records:
            place = places.get(record.partition)
            if place is None:
                continue
            position = place.last_position
            try:
                envelope = _decode(record.value)
            except (msgspec.DecodeError, UnicodeDecodeError):
                poison.append(record)
            else:
                # The relay may publish an event twice; within a partition positions only grow.
                if envelope.position > position:
                    position = envelope.position
                    events.append(Event(envelope, record))
            places[record.partition] = Place(record.offset + 1, position)
        # View and places are one transaction: what a crash undoes is folded again.
        with self._database.write(is_repeatable=True) as connection:
            self._confirm(connection, (n for n in places if places[n] != self._places[n]))
            self._fold(connection, events)
            for record in poison:
                park(connection, self._letter(record))
            changed = {n: p for n, p in places.items() if p != self._places[n]}
            save_places(connection, self.name, changed)
        self._places = places

    def _confirm(self, connection: Connection, partitions: Iterable[int]) -> None:
        for partition in sorted(set(partitions)):
            term = self._terms.get(partition)
            if term is None:
                raise Fenced(f"partition {partition} of {self.name} is another's")
            self._ownership.confirm(connection, term)

    def _letter(self, record: Record) -> DeadLetter:
        detail = "not an event of ours"
        return DeadLetter.of(
            self.topic, record, code="unreadable", detail=detail, parked_at=self._clock()
        )
