"""Reads topic ``ledger`` again, for endpoints that begin in the past and for replays.

One replayer at a time, page by page in turn over all endpoints that wait for one. Nothing that is
live goes through here: the projector goes on meanwhile, with its own reader.

An endpoint that begins in the past is handed over partition by partition: the replayer reads on,
past where the projector is if it can, and when it has met it, says in one transaction with the
projector's row locked from which offset on the projector serves the endpoint. So each event has
exactly one who queues it, and of one member they are queued in order.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from services.notify.consumer import TOPIC, queued
from services.notify.domain.endpoints import Endpoint, is_wanted, short_name
from services.notify.store import endpoints, feed, history, queue, replays
from services.notify.store.feed import JOINING
from services.notify.store.replays import Part, Replay, Scope
from services.runtime.clock import parse_rfc3339
from services.runtime.database import Connection, DatabaseUnavailable
from services.runtime.footing import Footing
from services.runtime.ownership import Fenced, Term
from services.runtime.projection import Envelope, Event
from services.runtime.stream import Reader, Record

_LOG = logging.getLogger(__name__)
_PAGE_SIZE_MAX: Final = 1_000
_POLL_S: Final = 0.2
_IDLE_S: Final = 0.5
_ENDS_EVERY_S: Final = 1.0
_PAGES_IN_A_ROW_MAX: Final = 8
_decode = msgspec.json.Decoder(Envelope).decode


@dataclass(frozen=True, slots=True)
class _Page:
    """What was read of one replay's partitions, and where that leads."""

    events: Sequence[Event]
    parts: Sequence[Part]


class Replayer:
    """Serves all replays; run it on a thread of its own."""

    def __init__(self, footing: Footing) -> None:
        self._footing = footing
        self._rung = threading.Event()
        self._ends: dict[int, int] = {}
        self._ends_at_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Replay until stopped.

        Raises:
            DatabaseUnavailable: the caller starts it again later.
            StreamUnavailable: likewise.
        """
        reader = self._footing.stream.reader(TOPIC)
        stop_listening = self._footing.database.listen(replays.BELL, self._rung.set)
        term = None
        try:
            while not stop.is_set():
                term = self._footing.ownership.acquire("notify.replays")
                if term is None:
                    stop.wait(_IDLE_S)
                    continue
                self._lead(term, reader, stop)
        finally:
            stop_listening()
            reader.close()
            if term is not None:
                with contextlib.suppress(DatabaseUnavailable):  # it runs out by itself
                    self._footing.ownership.release(term)

    def _lead(self, term: Term, reader: Reader, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self._rung.clear()
                self._footing.ownership.renew(term)
                self._note_ends(reader)
                with self._footing.database.read() as connection:
                    waiting = replays.running(connection)
                for each in waiting:
                    self._go_on(term, each, reader, stop)
                if not waiting:
                    self._rung.wait(_IDLE_S)
        except Fenced:
            _LOG.info("replays taken over")

    def _note_ends(self, reader: Reader) -> None:
        now_s = self._footing.clock().timestamp()
        if now_s - self._ends_at_s < _ENDS_EVERY_S:
            return
        ends = reader.end_offsets()
        if ends != self._ends:
            feed.note_ends(self._footing.database, ends)
        self._ends, self._ends_at_s = ends, now_s

    def _go_on(self, term: Term, each: Replay, reader: Reader, stop: threading.Event) -> None:
        """Read some pages of one replay, then let the next one have its turn."""
        with self._footing.database.read() as connection:
            parts = replays.parts(connection, each)
            known = {endpoint.number: endpoint for endpoint in endpoints.everybodys(connection)}
        endpoint = known.get(each.endpoint)
        if endpoint is None:
            self._give_up(each, parts)
            return
        is_placed = False
        for _ in range(_PAGES_IN_A_ROW_MAX):
            if parts and not is_placed:
                reader.seek({part.partition: part.next_offset for part in parts})
            left = self._write(term, each, endpoint, self._read(each, parts, reader))
            if not left or stop.is_set():
                return
            is_placed = len(left) == len(parts)
            parts = left

    def _read(self, each: Replay, parts: Sequence[Part], reader: Reader) -> _Page:
        records = []
        if parts:
            records = reader.poll(max_records=_PAGE_SIZE_MAX, timeout_s=_POLL_S)
        by_partition = {part.partition: part for part in parts}
        events = []
        for record in records:
            part = by_partition[record.partition]
            if not part.next_offset <= record.offset < part.until_offset:
                # Beyond the end of this part: the records that were meant are gone, or read.
                at_least = min(record.offset, part.until_offset)
                moved = replace(part, next_offset=max(part.next_offset, at_least))
            else:
                event = _event(record)
                moved = replace(part, next_offset=record.offset + 1)
                # The relay may publish an event twice; within a partition positions only grow.
                if event and event.envelope.position > part.last_position:
                    moved = replace(moved, last_position=event.envelope.position)
                    events.append(event)
            by_partition[record.partition] = moved
        if not records:
            by_partition = {part.partition: self._skip_what_is_gone(part) for part in parts}
        return _Page(_meant(each, events), list(by_partition.values()))

    def _skip_what_is_gone(self, part: Part) -> Part:
        """A silent partition may hold no more of what was asked for: the topic forgets, too."""
        last = self._footing.stream.last(TOPIC, part.partition)
        if last is not None and last.offset >= part.next_offset:
            return part
        end = self._ends.get(part.partition, 0)
        return replace(part, next_offset=max(part.next_offset, min(end, part.until_offset)))

    def _write(self, term: Term, each: Replay, endpoint: Endpoint, page: _Page) -> list[Part]:
        """One transaction: the deliveries, the places reached; answers what is left to read."""
        with self._footing.database.write() as connection:
            met = self._join_projector(connection, each.endpoint, page.parts)
            self._footing.ownership.confirm(connection, term)
            deliveries = _fitting(connection, each, endpoint, page.events)
            now = self._footing.clock()
            if each.number == replays.BEGINNING:
                queue.enqueue(connection, deliveries, now=now)
            else:
                queue.enqueue_again(connection, deliveries, round_=each.number, now=now)
            is_done = {
                part: part.next_offset >= part.until_offset or part.partition in met
                for part in page.parts
            }
            if not replays.save(connection, each, is_done, len(deliveries)):
                return []
            replays.finish_if_done(connection, each, now=now)
        return [part for part, done in is_done.items() if not done]

    def _join_projector(
        self, connection: Connection, endpoint: int, parts: Iterable[Part]
    ) -> set[int]:
        """Hand over the partitions in which the projector has been met; answers which."""
        open_ended = {part.partition: part for part in parts if part.until_offset == JOINING}
        places = feed.places(connection) if open_ended else {}
        near = [n for n, part in open_ended.items() if part.next_offset >= places[n].next_offset]
        if not near:
            return set()
        endpoints.lock_registry(connection)
        met = {
            partition: open_ended[partition].next_offset
            for partition in near
            if open_ended[partition].next_offset >= feed.locked_next_offset(connection, partition)
        }
        feed.save_joins(connection, endpoint, met)
        return set(met)

    def _give_up(self, each: Replay, parts: Iterable[Part]) -> None:
        """The endpoint was removed."""
        with self._footing.database.write() as connection:
            replays.save(connection, each, dict.fromkeys(parts, True), 0)
            replays.finish_if_done(connection, each, now=self._footing.clock())


def _event(record: Record) -> Event | None:
    """None: not an event of ours; the projector has parked it."""
    try:
        envelope = _decode(record.value)
        UUID(envelope.id)
        parse_rfc3339(envelope.recordedat)
    except (msgspec.DecodeError, ValueError):
        return None
    return Event(envelope, record)


def _meant(each: Replay, events: Iterable[Event]) -> list[Event]:
    return [
        event
        for event in events
        if event.envelope.position > each.asked.after and _is_since(event, each.asked.since)
    ]


def _is_since(event: Event, since: datetime | None) -> bool:
    return since is None or parse_rfc3339(event.envelope.recordedat) >= since


def _fitting(
    connection: Connection, each: Replay, endpoint: Endpoint, events: Iterable[Event]
) -> list[queue.Queued]:
    """The deliveries that this page means for the endpoint."""
    wanted = [
        event
        for event in events
        if endpoint.sees(merchant=event.envelope.merchant, name=short_name(event.type))
        and (each.asked.types is None or is_wanted(short_name(event.type), each.asked.types))
    ]
    if each.number == replays.BEGINNING:
        return [queued(event, endpoint) for event in wanted]
    positions = [event.envelope.position for event in wanted]
    states = history.states(connection, endpoint.number, positions)
    forgotten = endpoints.forgotten_position(connection, endpoint.number)
    return [
        queued(event, endpoint)
        for event in wanted
        if _is_in_scope(
            each.asked.scope,
            states.get(event.envelope.position),
            is_forgotten=event.envelope.position <= forgotten,
        )
    ]


def _is_in_scope(scope: Scope, state: str | None, *, is_forgotten: bool) -> bool:
    match scope:
        case Scope.ALL:
            return True
        case Scope.FAILED:
            return state == "failed"
        case Scope.MISSING:
            return state is None and not is_forgotten
