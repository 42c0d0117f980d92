"""Which money an embedded ledger takes: that of its programmes, or of the settings."""

from __future__ import annotations

import time
from collections.abc import Callable

_LOOK_AGAIN_AFTER_S = 1.0


class AcceptedCurrencies:
    """Asked for every command, so it remembers; whatever it does not know it looks up at once.

    Without any programme every currency is taken: a shop may begin to record before it decides
    what its purchases earn.
    """

    def __init__(self, look: Callable[[], frozenset[str]]) -> None:
        self._look = look
        self._known: frozenset[str] = frozenset()
        self._looked_at_s = float("-inf")

    def __call__(self, currency: str) -> bool:
        """Whether amounts may be in this currency."""
        is_fresh = time.monotonic() - self._looked_at_s < _LOOK_AGAIN_AFTER_S
        if not (is_fresh and currency in self._known):
            self._known = self._look()
            self._looked_at_s = time.monotonic()
        return not self._known or currency in self._known
