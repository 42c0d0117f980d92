"""A fake for `auth.Keys`: a handful of keys, known by heart."""

from collections.abc import Mapping

from services.runtime.auth import Principal, Role

TILL = "sb_till"
MERCHANT = "sb_merchant"
OPERATOR = "sb_operator"
AUDITOR = "sb_auditor"


class KnownKeys:
    """Keys for tests of doors: one of each role, the first two of the merchant "grocer"."""

    def __init__(self, more: Mapping[str, Principal] | None = None) -> None:
        self._principals = {
            TILL: Principal(Role.TILL, "grocer", "key-till"),
            MERCHANT: Principal(Role.MERCHANT, "grocer", "key-merchant"),
            OPERATOR: Principal(Role.OPERATOR, None, "key-operator"),
            AUDITOR: Principal(Role.AUDITOR, None, "key-auditor"),
            **(more or {}),
        }

    async def find(self, secret: str) -> Principal | None:
        return self._principals.get(secret)


def bearer(secret: str, **headers: str) -> dict[str, str]:
    """The headers of a request with this key."""
    return {"Authorization": f"Bearer {secret}", **headers}
