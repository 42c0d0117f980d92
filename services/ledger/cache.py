"""What the writer remembers from one batch to the next."""

from __future__ import annotations

from services.ledger.store.outcomes import Account

WRITER = "ledger.writer"  # the name that whoever decides for a shard owns
_ACCOUNTS_MAX = 200_000


class Cache:
    """Accounts that the writer has met; true as long as it is the only writer."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}

    def trim(self) -> None:
        """Forget the oldest half when there are too many."""
        if len(self.accounts) > _ACCOUNTS_MAX:
            for stream in list(self.accounts)[: _ACCOUNTS_MAX // 2]:
                del self.accounts[stream]
