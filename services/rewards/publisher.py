"""The relay: what happened to programmes goes out on topic ``rewards``."""

from __future__ import annotations

from typing import Final

from services.runtime.footing import Footing
from services.runtime.relay import Relay

NAME: Final = "rewards.relay"
TOPIC: Final = "rewards"


def relay(footing: Footing) -> Relay:
    """The one that publishes the log of rewards."""
    return Relay(name=NAME, topic=TOPIC, footing=footing)
