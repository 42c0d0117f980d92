"""The relay: the ledger's log goes out on topic ``ledger``."""

from __future__ import annotations

from services.runtime.footing import Footing
from services.runtime.relay import Relay
from services.runtime.shards import WHOLE, Share

NAME = "ledger.relay"
TOPIC = "ledger"


def relay(footing: Footing, *, share: Share = WHOLE) -> Relay:
    """The one that publishes this ledger's log."""
    return Relay(name=NAME, topic=TOPIC, footing=footing, share=share)
