"""Two writers, purchases all the time, and a misfortune for the one that leads."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from services.runtime.database import Database, open_database
from services.runtime.stream import Stream, open_stream
from tests.bench.purchases import purchases
from tests.support.eventually import eventually
from tests.support.ledgers import Wanted, kafka_of_our_own, running_ledgers
from tests.support.server import Server
from tests.support.stack import Stack

LEADER, STANDBY = "writer-1", "writer-2"
SETTLES_S = 0.1
PAUSE_S = 0.02
CHUNK = 25


@dataclass(slots=True, kw_only=True)
class Pair:
    """A leader and its standby under load."""

    database: Database
    servers: dict[str, Server]
    produced: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _pause: threading.Event = field(default_factory=threading.Event)  # never set

    def produce(self, stream: Stream) -> None:
        """Purchases all the time, until stopped; runs on a thread of its own."""
        supply = purchases(10_000_000, prefix="takeover")
        with closing(stream.producer()) as producer:
            while not self._stop.wait(PAUSE_S):
                producer.append("intake", [next(supply) for _ in range(CHUNK)])
                self.produced += CHUNK

    def stop_load(self) -> None:
        self._stop.set()

    def position(self) -> int:
        """The end of the log."""
        with self.database.read() as connection:
            [(position,)] = connection.rows("SELECT position FROM log_head")
        return int(position)

    def owner(self) -> tuple[str, int]:
        """Who leads, and in which epoch."""
        with self.database.read() as connection:
            [(owner, epoch)] = connection.rows(
                "SELECT owner, epoch FROM owners WHERE name = 'ledger.writer'"
            )
        return owner, epoch

    def is_in_transaction(self) -> bool:
        """Whether the leader's transaction is open at the moment."""
        with self.database.read() as connection:
            return connection.holder_of("owners", "name", "ledger.writer") is not None

    def freeze_leader(self, *, in_transaction: bool) -> None:
        """Let it stand still, in the middle of a transaction or between two."""

        def is_caught() -> bool:
            self.servers[LEADER].freeze()
            self._pause.wait(SETTLES_S)  # what it has sent is still carried out
            if self.is_in_transaction() == in_transaction:
                return True
            self.servers[LEADER].thaw()
            self._pause.wait(chance.uniform(0, SETTLES_S))
            return False

        chance = random.Random(0)
        eventually(is_caught)

    def takeover_s(self) -> float:
        """How long until the standby has written something."""
        began_s, before = time.monotonic(), self.position()
        eventually(lambda: self.owner()[0] == STANDBY and self.position() > before)
        return time.monotonic() - began_s


@contextmanager
def writers_under_load(stack: Stack) -> Iterator[Pair]:
    """The first leads, the second waits, and the log grows."""
    database_url, kafka_url = stack.fresh_database(), kafka_of_our_own(stack)
    wanted = [
        Wanted(name=name, role="writer", database_url=database_url, settings={})
        for name in (LEADER, STANDBY)
    ]
    with (
        running_ledgers(wanted, kafka_url=kafka_url) as servers,
        closing(open_database(database_url)) as database,
        closing(open_stream(kafka_url)) as stream,
    ):
        pair = Pair(database=database, servers=servers)
        load = threading.Thread(target=pair.produce, args=(stream,), name="load")
        load.start()
        try:
            eventually(lambda: pair.position() > 100)
            assert pair.owner()[0] == LEADER
            yield pair
        finally:
            pair.stop_load()
            load.join()
