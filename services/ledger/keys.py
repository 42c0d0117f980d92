"""Keys: made and revoked here, known by their hashes only.

Whoever was let in a moment ago is let in while the database is down: shops keep selling.
"""

from __future__ import annotations

import asyncio
import hmac
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from services.runtime.auth import Principal, Role, hashed, new_secret
from services.runtime.clock import Clock, from_micros, micros, rfc3339
from services.runtime.database import Database, DatabaseUnavailable, Row

OPERATORS_OWN = "operator"
_NAMESPACE = UUID("3f1a8f2e-95d4-5c55-9a0b-6de1b0a6c1f7")
_COLUMNS = "key_id, role, merchant, name, created_at, revoked_at"
_FIND = "SELECT key_id, role, merchant, name FROM keys WHERE hash = :hash AND revoked_at IS NULL"
_ADD = """
INSERT INTO keys (key_id, hash, merchant, role, name, created_at)
VALUES (:key_id, :hash, :merchant, :role, :name, :created_at)
"""
_LIST = f"SELECT {_COLUMNS} FROM keys WHERE key_id > :after ORDER BY key_id LIMIT :limit"  # noqa: S608
_REVOKE = """
UPDATE keys SET revoked_at = coalesce(revoked_at, :now) WHERE key_id = :key_id
"""


class StoredKeys:
    """Keys in the ledger's own table, and the operator's from the settings."""

    ASK_AGAIN_AFTER = timedelta(seconds=5)
    """For so long a key works that another process has revoked; here it ends at once."""
    FORGET_AFTER = timedelta(hours=12)
    """For so long a key is remembered while the database is down."""
    PATIENCE_S = 10.0
    PATIENCE_WITH_THE_KNOWN_S = 1.0
    """Whoever is remembered waits no longer for a database that does not answer."""
    REMEMBERED_MAX = 10_000

    def __init__(self, database: Database, clock: Clock, *, operator_key: str | None) -> None:
        self._database = database
        self._clock = clock
        self._operator = hashed(operator_key) if operator_key else None
        self._known: dict[bytes, tuple[datetime, Principal]] = {}
        self._revoked: set[str] = set()  # by this process
        self._asking: dict[bytes, asyncio.Task[Principal | None]] = {}  # one read for all
        self._down_until = datetime.min.replace(tzinfo=UTC)  # those who are known need not ask

    async def find(self, secret: str) -> Principal | None:
        """Whose key it is; None when it is nobody's, or was revoked.

        Raises:
            DatabaseUnavailable: and the key was not seen here today.
        """
        key = hashed(secret)
        if self._operator is not None and hmac.compare_digest(key, self._operator):
            return Principal(Role.OPERATOR, None, OPERATORS_OWN)
        found = await self._find(key, self._clock())
        return None if found is None or found.key_id in self._revoked else found

    async def _find(self, key: bytes, now: datetime) -> Principal | None:
        asked_at, remembered = self._known.get(key, (None, None))
        if asked_at is None:
            return await self._ask(key, now, patience_s=self.PATIENCE_S)
        if now - asked_at < self.ASK_AGAIN_AFTER or now < self._down_until:
            return remembered
        try:
            return await self._ask(key, now, patience_s=self.PATIENCE_WITH_THE_KNOWN_S)
        except DatabaseUnavailable:
            if now - asked_at > self.FORGET_AFTER:
                raise
            self._down_until = now + self.ASK_AGAIN_AFTER
            return remembered

    def create(
        self, *, role: Role, merchant: str | None, name: str | None
    ) -> tuple[str, dict[str, object]]:
        """A new key, which nobody will see again, and what lists say of it."""
        secret = new_secret()
        key_id = str(uuid5(_NAMESPACE, hashed(secret).hex()))
        created_at = micros(self._clock())
        row = {
            "key_id": key_id,
            "hash": hashed(secret),
            "merchant": merchant,
            "role": role.value,
            "name": name,
            "created_at": created_at,
        }
        with self._database.write() as connection:
            connection.execute(_ADD, row)
        return secret, _shown((key_id, role.value, merchant, name, created_at, None))

    def page(self, *, after: str, limit: int) -> list[dict[str, object]]:
        """Keys by their ids, revoked ones too."""
        with self._database.read() as connection:
            rows = connection.rows(_LIST, {"after": after, "limit": limit})
        return [_shown(row) for row in rows]

    def revoke(self, key_id: str) -> bool:
        """Take a key out of force; False when there is no such key."""
        with self._database.write() as connection:
            params = {"key_id": key_id, "now": micros(self._clock())}
            is_known = connection.execute(_REVOKE, params) == 1
        self._revoked.add(key_id)
        return is_known

    async def _ask(self, key: bytes, now: datetime, *, patience_s: float) -> Principal | None:
        if key not in self._asking:
            self._asking[key] = asyncio.create_task(asyncio.to_thread(self._load, key))
            self._asking[key].add_done_callback(lambda task: self._answered(key, task))
        try:
            found = await asyncio.wait_for(asyncio.shield(self._asking[key]), patience_s)
        except TimeoutError:
            raise DatabaseUnavailable("does not say whose key it is") from None
        self._remember(key, now, found)
        return found

    def _answered(self, key: bytes, task: asyncio.Task[Principal | None]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # seen, also when all who asked have given up

    def _load(self, key: bytes) -> Principal | None:
        with self._database.read() as connection:
            row = connection.row(_FIND, {"hash": key})
        return Principal(Role(row[1]), row[2], row[0], row[3]) if row else None

    def _remember(self, key: bytes, now: datetime, principal: Principal | None) -> None:
        self._known.pop(key, None)
        if principal is None:
            return  # asked for again each time: a key made a moment ago has to work
        if len(self._known) >= self.REMEMBERED_MAX:
            self._known.pop(next(iter(self._known)))
        self._known[key] = (now, principal)


def _shown(row: Row) -> dict[str, object]:
    key_id, role, merchant, name, created_at, revoked_at = row
    line: dict[str, object] = {"id": key_id, "role": role}
    line |= {k: v for k, v in (("merchant", merchant), ("name", name)) if v is not None}
    line["created_at"] = rfc3339(from_micros(created_at))
    if revoked_at is not None:
        line["revoked_at"] = rfc3339(from_micros(revoked_at))
    return line
