"""The relay: the ledger's log goes out on topic ``ledger``."""

from __future__ import annotations

from services.runtime.clock import Clock
from services.runtime.database import Database
from services.runtime.ownership import Ownership
from services.runtime.relay import Relay
from services.runtime.stream import Stream

NAME = "ledger.relay"
TOPIC = "ledger"


def relay(database: Database, stream: Stream, ownership: Ownership, clock: Clock) -> Relay:
    """The one that publishes this ledger's log."""
    return Relay(
        name=NAME,
        topic=TOPIC,
        database=database,
        stream=stream,
        ownership=ownership,
        clock=clock,
    )
