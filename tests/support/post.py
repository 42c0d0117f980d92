"""Notify as a whole on a database, a log in a file, and a clock that the test may set forward."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_bytes
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from aiohttp.abc import AbstractResolver

from services.notify.application import Notify, Wish
from services.notify.consumer import projector
from services.notify.dispatcher import Dispatcher, Limits
from services.notify.domain.endpoints import Ordering
from services.notify.replayer import Replayer
from services.notify.sender import Guard, Sender
from services.runtime.clock import rfc3339, utc_now
from services.runtime.contracts import Contract
from services.runtime.database import Database
from services.runtime.footing import Footing
from services.runtime.ownership import Ownership
from services.runtime.stream import Message, open_stream

PARTITIONS = 3
LEASE = timedelta(seconds=5)


class Post:
    """One installation of notify; its roles run on threads while their blocks last."""

    def __init__(self, database: Database, folder: Path, *, stream_url: str | None = None) -> None:
        self.database = database
        self.ahead = timedelta()
        url = stream_url or f"sqlite://{folder / 'stream.db'}"
        self.stream = open_stream(url, partitions=PARTITIONS)
        self.stream.ensure_topics()
        self._producer = self.stream.producer()
        self._position = 0
        self.footing = self.footing_of("post-1")
        self.projector = projector(self.footing)
        self.notify = Notify(database, self.clock, random_bytes=token_bytes, allow_loopback=True)

    def clock(self) -> datetime:
        return utc_now() + self.ahead

    def footing_of(self, owner: str) -> Footing:
        return Footing(
            database=self.database,
            stream=self.stream,
            ownership=Ownership(self.database, self.clock, owner=owner, lease=LEASE),
            clock=self.clock,
        )

    def close(self) -> None:
        self._producer.close()
        self.stream.close()

    def put(
        self,
        endpoint_id: str,
        url: str,
        *types: str,
        owner: str = "grocer",
        ordering: Ordering = Ordering.MEMBER,
        after: int | None = None,
    ) -> str:
        """Make or change an endpoint; returns its secret."""
        wish = Wish(url=url, types=types or ("*",), ordering=ordering, begins_after=after)
        return self.notify.put_endpoint(owner, endpoint_id, wish)[0].secret

    def record(
        self,
        *members: str | None,
        name: str = "points.expired",
        merchant: str = "grocer",
        recorded_at: datetime | None = None,
    ) -> list[dict[str, Any]]:
        """Let the log have one event for each of these members."""
        events = [self._event(member, name, merchant, recorded_at) for member in members]
        self._producer.append(
            "ledger",
            [Message(e.get("subject") or e["data"]["purchase"], json.dumps(e).encode())
             for e in events],
        )  # fmt: skip
        return events

    def record_raw(self, key: str, value: bytes) -> None:
        """Let the topic have whatever this is."""
        self._producer.append("ledger", [Message(key, value)])

    def again(self, event: dict[str, Any]) -> None:
        """Publish an event once more, as a relay does after a crash."""
        self.record_raw(
            event.get("subject") or event["data"]["purchase"], json.dumps(event).encode()
        )

    def _event(
        self, member: str | None, name: str, merchant: str, recorded_at: datetime | None
    ) -> dict[str, Any]:
        self._position += 1
        name = name if member else "purchase.recorded"  # strangers only buy
        data: dict[str, Any] = {
            "lot": str(uuid5(NAMESPACE_URL, f"lot {self._position}")),
            "unit": "points",
            "points": 1,
            "purchase": f"b{self._position}",
        }
        if name == "purchase.recorded":
            data = json.loads(_PURCHASE) | {"purchase": data["purchase"]}
            data |= {"member": member} if member else {}
        event = {
            "specversion": "1.0",
            "id": str(uuid5(NAMESPACE_URL, f"event {self._position}")),
            "source": "/ledger",
            "type": f"stampbook.{name}.v1",
            **({"subject": member} if member else {}),
            "time": "2017-01-01T12:30:27-05:00",
            "shard": 0,
            "position": self._position,
            "recordedat": rfc3339(recorded_at or self.clock()),
            "merchant": merchant,
            "data": data,
        }
        assert Contract.of(f"events/{name}.v1").errors(event) == []
        return event

    @contextmanager
    def projecting(self) -> Iterator[None]:
        """Events are queued, replays go on."""
        stop = threading.Event()
        replayer = Replayer(self.footing)
        threads = [
            threading.Thread(target=role.run, args=(stop,)) for role in (self.projector, replayer)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            self.record_raw("stop", b"whoever waits for the next record need not wait any longer")
            for thread in threads:
                thread.join()

    @contextmanager
    def dispatching(
        self,
        *,
        owner: str = "post-1",
        database: Database | None = None,
        timeout: timedelta = timedelta(seconds=1),
        allow_loopback: bool = True,
        resolver: Callable[[], AbstractResolver] | None = None,
        lane_width: int = 8,
    ) -> Iterator[None]:
        """What is due is sent."""
        store = database or self.database
        ownership = Ownership(store, self.clock, owner=owner, lease=LEASE)

        async def dispatch() -> None:
            stopping = asyncio.Event()
            loop = asyncio.get_running_loop()
            stop_here.append(lambda: loop.call_soon_threadsafe(stopping.set))
            started.set()
            sender = Sender(
                self.clock,
                Guard(allow_loopback=allow_loopback),
                timeout=timeout,
                resolver=resolver() if resolver else None,
            )
            limits = Limits(lane_width=lane_width, under_way_max=100, keep=timedelta(days=30))
            await Dispatcher(store, ownership, self.clock, sender, limits=limits).run(stopping)

        def run() -> None:
            try:
                asyncio.run(dispatch())
            except BaseException as error:
                failures.append(error)
                raise

        stop_here: list[Callable[[], object]] = []
        failures: list[BaseException] = []
        started = threading.Event()
        thread = threading.Thread(target=run, name="dispatcher")
        thread.start()
        assert started.wait(10)
        try:
            yield
        finally:
            if thread.is_alive():
                stop_here[0]()
            thread.join(20)
        assert not failures

    @contextmanager
    def open(self) -> Iterator[None]:
        """Everything runs."""
        with ExitStack() as stack:
            stack.enter_context(self.projecting())
            stack.enter_context(self.dispatching())
            yield


_PURCHASE = """
{"purchased_at": "2017-01-01T12:30:27-05:00", "currency": "USD",
 "lines": [{"line": "1", "sku": "6602647", "quantity": 2, "amount_minor": 198}]}
"""
