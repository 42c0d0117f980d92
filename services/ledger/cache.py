"""What the writer remembers from one batch to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.ledger.store.outcomes import Account

WRITER = "ledger.writer"  # the name that whoever decides for a shard owns
RESTORER = "restore"  # who owns it until a log is restored
CACHE_BYTES = 128 << 20
_ACCOUNT_BYTES = 800  # with its name's object, its place in the dict, and what it owes in two units
_UNIT_BYTES = 150


class Cache:
    """Accounts that the writer has met lately; true as long as it is the only writer.

    There are two generations: when the younger one fills half of the room, the older one is
    forgotten, and whoever is met again becomes young again.
    """

    def __init__(self, bytes_max: int = CACHE_BYTES) -> None:
        self._bytes_max = bytes_max
        self._young: dict[str, Account] = {}
        self._old: dict[str, Account] = {}
        self._young_bytes = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __contains__(self, stream: str) -> bool:
        if stream in self._young:
            return True
        account = self._old.pop(stream, None)
        if account is not None:
            self._keep(stream, account)
        return account is not None

    def __getitem__(self, stream: str) -> Account:
        """The state of a story that is contained."""
        return self._young[stream]

    def missing(self, streams: Iterable[str]) -> list[str]:
        """Those that are not remembered."""
        return [stream for stream in set(streams) if stream not in self]

    def add(self, accounts: Mapping[str, Account]) -> None:
        """Remember these."""
        for stream, account in accounts.items():
            self._keep(stream, account)

    def trim(self) -> None:
        """Forget what there is no room for. Not in the middle of a batch: it may change any."""
        if self._young_bytes > self._bytes_max // 2:
            self._old, self._young, self._young_bytes = self._young, {}, 0

    def _keep(self, stream: str, account: Account) -> None:
        self._young[stream] = account
        units_more = max(0, len(account.owed) - 2)
        self._young_bytes += _ACCOUNT_BYTES + len(stream) + _UNIT_BYTES * units_more
