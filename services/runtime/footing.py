"""What every role that runs on its own stands on."""

from __future__ import annotations

from dataclasses import dataclass

from services.runtime.clock import Clock
from services.runtime.database import Database
from services.runtime.ownership import Ownership
from services.runtime.stream import Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Footing:
    """A service's store, the stream, the leases held in that store, and the time."""

    database: Database
    stream: Stream
    ownership: Ownership
    clock: Clock
