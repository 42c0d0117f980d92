"""Views built from a topic: one page of events, the view and its position in one transaction.

Instances of the same projector share a topic's partitions by leases. A record that cannot be
read or folded is parked with its reason, and the records after it go on.
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
        self._terms: dict[int, Term] = {}
        self._places: dict[int, Place] = {}
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
                    self._fold_page_or_lose(records)
        finally:
            self._reader = None
            reader.close()
            self._give_back()

    def lag(self) -> int:
        """Records of the topic that are not folded yet, over all partitions."""
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
        held = set(self._terms)
        self._renew()
        count = self._stream.partition_count(self.topic)
        alive = self._ownership.owners_alive(f"{self.name}/") | {self._ownership.owner}
        share = -(-count // len(alive))
        while len(self._terms) > share:
            self._ownership.release(self._terms.popitem()[1])
        for partition in range(count):
            if partition not in self._terms and len(self._terms) < share:
                term = self._ownership.acquire(f"{self.name}/{partition}")
                if term is not None:
                    self._terms[partition] = term
        if set(self._terms) != held:
            self._seek(reader)

    def _renew(self) -> None:
        for partition, term in list(self._terms.items()):
            try:
                self._ownership.renew(term)
            except Fenced:
                del self._terms[partition]

    def _seek(self, reader: Reader) -> None:
        with self._database.read() as connection:
            places = load_places(connection, self.name)
        self._places = {n: places.get(n, Place()) for n in self._terms}
        reader.seek({n: place.next_offset for n, place in self._places.items()})

    def _give_back(self) -> None:
        try:
            for term in self._terms.values():
                self._ownership.release(term)
        except DatabaseUnavailable:
            _LOG.warning("leases run out by themselves", extra={"projector": self.name})
        self._terms.clear()

    def _fold_page_or_lose(self, records: Sequence[Record]) -> None:
        try:
            self._fold_page(records)
        except Fenced:
            _LOG.info("partition taken over", extra={"projector": self.name})
            self._terms.clear()
        except (DatabaseUnavailable, StreamUnavailable):
            raise
        except Exception:
            # Whatever one record does to the fold must not stop the others: find it, park it.
            if len(records) > 1:
                _LOG.exception("page failed, going on one by one", extra={"projector": self.name})
                for record in records:
                    self._fold_page_or_lose([record])
                return
            _LOG.exception("record parked", extra={"projector": self.name})
            self._park(records[0])

    def _fold_page(self, records: Sequence[Record]) -> None:
        """One transaction: the view, the places reached, and proof of still owning them."""
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
        with self._database.write() as connection:
            self._confirm(connection, (record.partition for record in records))
            self._fold(connection, events)
            for record in poison:
                park(connection, self._letter(record, "not an event of ours"))
            changed = {n: p for n, p in places.items() if p != self._places[n]}
            save_places(connection, self.name, changed)
        self._places = places

    def _park(self, record: Record) -> None:
        place = self._places.get(record.partition)
        if place is None:
            return
        after = Place(record.offset + 1, place.last_position)
        with self._database.write() as connection:
            self._confirm(connection, (record.partition,))
            park(connection, self._letter(record, "the fold failed; see the log"))
            save_places(connection, self.name, {record.partition: after})
        self._places[record.partition] = after

    def _confirm(self, connection: Connection, partitions: Iterable[int]) -> None:
        for partition in sorted(set(partitions) & self._terms.keys()):
            self._ownership.confirm(connection, self._terms[partition])

    def _letter(self, record: Record, detail: str) -> DeadLetter:
        return DeadLetter.of(
            self.topic, record, code="unreadable", detail=detail, parked_at=self._clock()
        )
