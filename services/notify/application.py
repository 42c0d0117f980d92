"""What can be asked of notify: to make endpoints, to look at them, to send events again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from services.notify.domain import signing
from services.notify.domain.addresses import check_url
from services.notify.domain.endpoints import Endpoint, EndpointState, Ordering
from services.notify.domain.errors import NotReady, TooManyReplays, UnknownEndpoint
from services.notify.domain.retries import Health
from services.notify.store import endpoints, feed, history, queue, replays
from services.notify.store.feed import Place
from services.notify.store.history import Backlog, Delivery
from services.notify.store.replays import Asked, Replay
from services.runtime.clock import Clock
from services.runtime.database import Connection, Database

UNFINISHED_REPLAYS_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an owner wants of an endpoint."""

    url: str
    types: tuple[str, ...]
    ordering: Ordering
    begins_after: int | None  # position; None: at the end of the log. Counts once, at the first


@dataclass(frozen=True, slots=True)
class Lag:
    """How far an endpoint is behind."""

    position: int  # nothing up to here waits
    log_end: int  # the newest position that notify has read
    backlog: Backlog
    seconds: float  # how long the oldest has waited
    failing_since: datetime | None


class Notify:
    """The use cases. Endpoints belong to an owner: a merchant, or the operator ("")."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        random_bytes: Callable[[int], bytes],
        allow_loopback: bool,
    ) -> None:
        self._database = database
        self._clock = clock
        self._random_bytes = random_bytes
        self._allow_loopback = allow_loopback

    def put_endpoint(self, owner: str, endpoint_id: str, wish: Wish) -> tuple[Endpoint, bool]:
        """Make an endpoint, or change it; its secret and its place stay. True: it is new.

        Raises:
            MalformedUrl: the address is not one to send events to.
            AddressNotAllowed: it leads into a network that is not called.
            NotReady: the projector has never run, so nobody knows where the log ends.
        """
        check_url(wish.url, allow_loopback=self._allow_loopback)
        with self._database.write() as connection:
            endpoints.lock_registry(connection)
            known = endpoints.find(connection, owner=owner, endpoint_id=endpoint_id)
            if known is None:
                return self._add(connection, owner, endpoint_id, wish), True
            endpoints.change(
                connection, known.number, url=wish.url, types=wish.types, ordering=wish.ordering
            )
            if wish.url != known.url:
                endpoints.save_health(connection, known.number, Health())
            connection.ring(queue.BELL)
        if wish.url != known.url:
            queue.pull_forward(self._database, known.number, now=self._clock())
        return self.endpoint(owner, endpoint_id), False

    def endpoint(self, owner: str, endpoint_id: str) -> Endpoint:
        """One endpoint.

        Raises:
            UnknownEndpoint: its owner has none of this id.
        """
        with self._database.read() as connection:
            return _found(connection, owner, endpoint_id)

    def endpoints(self, owner: str, *, after: str, limit: int) -> list[Endpoint]:
        """The owner's endpoints, by id."""
        with self._database.read() as connection:
            return endpoints.page_of_owner(connection, owner=owner, after=after, limit=limit)

    def remove_endpoint(self, owner: str, endpoint_id: str) -> None:
        """Take an endpoint away, with what waits for it.

        Raises:
            UnknownEndpoint: its owner has none of this id.
        """
        with self._change(owner, endpoint_id) as (connection, endpoint):
            endpoints.remove(connection, endpoint.number, now=self._clock())

    def pause_endpoint(self, owner: str, endpoint_id: str) -> Endpoint:
        """Send nothing for now; events wait.

        Raises:
            UnknownEndpoint: its owner has none of this id.
        """
        with self._change(owner, endpoint_id) as (connection, endpoint):
            endpoints.set_state(connection, endpoint.number, EndpointState.PAUSED)
        return self.endpoint(owner, endpoint_id)

    def resume_endpoint(self, owner: str, endpoint_id: str) -> Endpoint:
        """Send again, and at once whatever waits for its next try.

        Raises:
            UnknownEndpoint: its owner has none of this id.
        """
        with self._change(owner, endpoint_id) as (connection, endpoint):
            endpoints.set_state(connection, endpoint.number, EndpointState.ACTIVE)
            endpoints.save_health(connection, endpoint.number, Health())
        queue.pull_forward(self._database, endpoint.number, now=self._clock())
        return self.endpoint(owner, endpoint_id)

    def replay(self, owner: str, endpoint_id: str, asked: Asked) -> Replay:
        """Send events again, up to where live ones go on: same bytes, same ids, same order.

        Raises:
            UnknownEndpoint: its owner has none of this id.
            TooManyReplays: too many are unfinished.
        """
        now = self._clock()
        with self._change(owner, endpoint_id) as (connection, endpoint):
            number = endpoint.number
            if replays.count_running(connection, number) >= UNFINISHED_REPLAYS_MAX:
                raise TooManyReplays(replays_max=UNFINISHED_REPLAYS_MAX)
            replay_number = replays.next_number(connection, number)
            places = feed.locked_places(connection)
            ends = {n: place.next_offset for n, place in places.items()}
            key = (number, replay_number)
            replays.add(connection, key, asked, until_offsets=ends, now=now)
            [made] = replays.of_endpoint(connection, number, after=replay_number - 1, limit=1)
        # What still fails is not queued twice; it is just tried now.
        queue.pull_forward(self._database, number, now=now)
        return made

    def replays(
        self, owner: str, endpoint_id: str, *, after: int = -1, limit: int = 100
    ) -> list[Replay]:
        """An endpoint's replays and their progress, oldest first.

        Raises:
            UnknownEndpoint: its owner has none of this id.
        """
        with self._database.read() as connection:
            number = _found(connection, owner, endpoint_id).number
            return replays.of_endpoint(connection, number, after=after, limit=limit)

    def deliveries(
        self, owner: str, endpoint_id: str, *, state: str | None, after: int, limit: int
    ) -> list[Delivery]:
        """What was and is to be sent to an endpoint, in the order of the log.

        Raises:
            UnknownEndpoint: its owner has none of this id.
        """
        with self._database.read() as connection:
            number = _found(connection, owner, endpoint_id).number
            return history.page(connection, number, state=state, after=after, limit=limit)

    def lag(self, owner: str, endpoint_id: str) -> Lag:
        """How far an endpoint is behind.

        Raises:
            UnknownEndpoint: its owner has none of this id.
        """
        with self._database.read() as connection:
            endpoint = _found(connection, owner, endpoint_id)
            log_end = _log_end(feed.places(connection))
            waiting = history.backlog(connection, endpoint.number)
            running = replays.count_running(connection, endpoint.number)
        now = self._clock()
        oldest = waiting.oldest_queued_at or now
        reached = endpoint.began_after if running else log_end
        if waiting.oldest_position is not None:
            reached = waiting.oldest_position - 1
        return Lag(
            position=reached,
            log_end=log_end,
            backlog=waiting,
            seconds=max(0.0, (now - oldest).total_seconds()),
            failing_since=endpoint.health.failing_since,
        )

    def _add(self, connection: Connection, owner: str, endpoint_id: str, wish: Wish) -> Endpoint:
        places = feed.locked_places(connection)
        if not places:
            raise NotReady("the projector has not started yet; try again in a moment")
        now = self._clock()
        made = Endpoint(
            number=endpoints.next_number(connection),
            owner=owner,
            id=endpoint_id,
            url=wish.url,
            types=wish.types,
            ordering=wish.ordering,
            state=EndpointState.ACTIVE,
            secret=signing.secret_text(self._random_bytes(signing.SECRET_BYTES)),
            began_after=_log_end(places) if wish.begins_after is None else wish.begins_after,
            created_at=now,
            health=Health(),
        )
        endpoints.add(connection, made)
        if wish.begins_after is None:
            ends = {n: max(place.next_offset, place.end_offset) for n, place in places.items()}
            feed.save_joins(connection, made.number, ends)
        else:
            joining = dict.fromkeys(places, feed.JOINING)
            feed.save_joins(connection, made.number, joining)
            key = (made.number, replays.BEGINNING)
            asked = Asked(after=wish.begins_after)
            replays.add(connection, key, asked, until_offsets=joining, now=now)
        return made

    @contextmanager
    def _change(self, owner: str, endpoint_id: str) -> Iterator[tuple[Connection, Endpoint]]:
        """A change of one endpoint, which every role hears of."""
        with self._database.write() as connection:
            endpoints.lock_registry(connection)
            endpoint = _found(connection, owner, endpoint_id)
            yield connection, endpoint
            connection.ring(queue.BELL)


def _found(connection: Connection, owner: str, endpoint_id: str) -> Endpoint:
    found = endpoints.find(connection, owner=owner, endpoint_id=endpoint_id)
    if found is None:
        raise UnknownEndpoint(f"there is no endpoint {endpoint_id!r}")
    return found


def _log_end(places: dict[int, Place]) -> int:
    return max((place.last_position for place in places.values()), default=0)
