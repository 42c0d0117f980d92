"""The projector: topic ``ledger`` becomes deliveries, for those endpoints that want the event.

What nobody wants costs a look into a dictionary and leaves no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.notify.domain.endpoints import Endpoint, Ordering, short_name
from services.notify.store import endpoints, feed, queue
from services.notify.store.feed import Landmark
from services.notify.store.queue import Queued
from services.runtime.clock import parse_rfc3339
from services.runtime.database import Connection
from services.runtime.footing import Footing
from services.runtime.projection import Event, Projector

TOPIC = "ledger"
PROJECTOR = "notify.deliveries"
LANDMARK_EVERY = 1_000  # offsets; a replay reads so many records at most that it does not need


class Deliveries:
    """The fold of one projector: keeps who wants what in memory as long as nobody changes it."""

    def __init__(self, footing: Footing) -> None:
        self._clock = footing.clock
        self._generation = -1
        self._endpoints: list[Endpoint] = []
        self._joins: dict[tuple[int, int], int] = {}
        self._wanting: dict[tuple[str | None, str], list[Endpoint]] = {}
        self._landmarks: dict[int, int] | None = None

    def fold(self, connection: Connection, events: Sequence[Event]) -> None:
        """Queue a page of events."""
        if not events:
            return
        reached = {
            event.record.partition: (event.record.offset + 1, event.envelope.position)
            for event in events
        }
        # First of all: from here on nobody begins, or takes over, in these partitions unseen.
        feed.advance(connection, reached)
        self._look_who_wants(connection)
        self._mark(connection, events)
        deliveries = [
            queued(event, endpoint)
            for event in events
            for endpoint in self._who_wants(event)
            if self._is_served(endpoint, event)
        ]
        if deliveries:
            queue.enqueue(connection, deliveries, now=self._clock())

    def _look_who_wants(self, connection: Connection) -> None:
        generation = endpoints.generation(connection)
        if generation != self._generation:
            self._endpoints = endpoints.everybodys(connection)
            self._joins = feed.joins(connection)
            self._wanting = {}
            self._generation = generation

    def _who_wants(self, event: Event) -> list[Endpoint]:
        kind = (event.envelope.merchant, event.type)
        found = self._wanting.get(kind)
        if found is None:
            name = short_name(event.type)
            found = [each for each in self._endpoints if each.sees(merchant=kind[0], name=name)]
            self._wanting[kind] = found
        return found

    def _is_served(self, endpoint: Endpoint, event: Event) -> bool:
        """Whether it is the projector, and no replay, that brings it the event."""
        begins_at = self._joins.get((endpoint.number, event.record.partition), 0)
        return event.record.offset >= begins_at

    def _mark(self, connection: Connection, events: Sequence[Event]) -> None:
        marked = self._landmarks
        if marked is None:
            marked = feed.newest_landmarks(connection)
        marked = dict(marked)
        landmarks = []
        for event in events:
            partition, offset = event.record.partition, event.record.offset
            if partition not in marked or offset >= marked[partition] + LANDMARK_EVERY:
                marked[partition] = offset
                recorded_at = parse_rfc3339(event.envelope.recordedat)
                position = event.envelope.position
                landmarks.append(Landmark(partition, position, offset, recorded_at))
        feed.add_landmarks(connection, landmarks)
        # Should the page fail after this, some landmarks are farther apart: nothing else.
        self._landmarks = marked


def queued(event: Event, endpoint: Endpoint) -> Queued:
    """The delivery of an event to an endpoint."""
    envelope = event.envelope
    # The record's key is the member or, for a stranger, the purchase: what has an order.
    is_ordered = endpoint.ordering is Ordering.MEMBER
    key = event.record.key if is_ordered else f"#{envelope.position}"
    return Queued(
        endpoint=endpoint.number,
        position=envelope.position,
        event=UUID(envelope.id).bytes,
        type=short_name(envelope.type),
        member=envelope.subject,
        line=queue.line_of(endpoint.number, key),
        body=event.raw,
    )


def projector(footing: Footing, *, page_size_max: int = 1_000) -> Projector:
    """The projector of topic ``ledger``; run it on a thread of its own."""
    feed.prepare(footing.database, footing.stream.partition_count(TOPIC))
    return Projector(
        name=PROJECTOR,
        topic=TOPIC,
        footing=footing,
        fold=Deliveries(footing).fold,
        page_size_max=page_size_max,
    )
