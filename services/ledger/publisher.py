"""The relay: the ledger's log goes out on topic ``ledger``."""

from __future__ import annotations

from services.runtime.footing import Footing
from services.runtime.relay import Relay

NAME = "ledger.relay"
TOPIC = "ledger"


def relay(footing: Footing) -> Relay:
    """The one that publishes this ledger's log."""
    return Relay(name=NAME, topic=TOPIC, footing=footing)
