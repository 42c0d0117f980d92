"""Who is asking: API keys, and what each role of them may do."""

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import httpx
import msgspec
from starlette.requests import Request

from services.runtime.clock import Clock
from services.runtime.problems import Problem, bad_parameter, unavailable

MERCHANT_HEADER = "Stampbook-Merchant"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}", re.ASCII)
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]{1,256}=*)", re.ASCII | re.IGNORECASE)


class Role(StrEnum):
    """What a key is for."""

    TILL = "till"
    MERCHANT = "merchant"
    OPERATOR = "operator"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Principal:
    """Whose key it is. As JSON it is the answer of ``GET /v1/keys/self``."""

    role: Role
    merchant: str | None  # None: the operator's and the auditor's
    key_id: str
    name: str | None = None  # of the key

    @property
    def actor(self) -> str:
        """Whose key it is, as commands carry it: the id and, after a space, the name."""
        return self.key_id if self.name is None else f"{self.key_id} {self.name}"


class Keys(Protocol):
    """Knows every key that is in force."""

    async def find(self, secret: str) -> Principal | None:
        """Whose key ``secret`` is; None when it is nobody's, or was revoked."""


def new_secret() -> str:
    """A key nobody can guess: 256 random bits. It is shown once; only `hashed` is stored."""
    return f"sb_{secrets.token_urlsafe(32)}"


def hashed(secret: str) -> bytes:
    """The stored form of a key.

    Looking a key up by this hash tells nothing by the time it takes: what an attacker could
    compare byte by byte is a digest that he cannot steer. Keys are random, so no salt is needed.
    """
    return hashlib.sha256(secret.encode()).digest()


def authenticated(keys: Keys, *allowed: Role) -> Callable[[Request], Awaitable[Principal]]:
    """A FastAPI dependency: the owner of the request's key, if its role is one of ``allowed``.

    Raises:
        Problem: 401 ``key-missing`` or ``key-unknown``, 403 ``role-not-allowed``.
    """

    async def principal(request: Request) -> Principal:
        found = await keys.find(bearer(request))
        if found is None:
            raise _unauthorized("key-unknown", "this key is not in force", error="invalid_token")
        if found.role not in allowed:
            raise Problem(403, "role-not-allowed", f"not for a key of role {found.role}")
        return found

    return principal


def bearer(request: Request) -> str:
    """The key in the ``Authorization`` header.

    Raises:
        Problem: 401 ``key-missing``.
    """
    match = _BEARER.fullmatch(request.headers.get("authorization", ""))
    if match is None:
        raise _unauthorized("key-missing", "send a key: 'Authorization: Bearer KEY'")
    return match[1]


def acting_merchant(request: Request, principal: Principal) -> str:
    """The merchant that this request writes as, or reads the purchases of.

    A till and a merchant act for themselves; the operator and an auditor name the merchant in a
    header.

    Raises:
        Problem: 422 ``merchant-required`` or ``malformed``, 403 for another merchant's name.
    """
    named = request.headers.get(MERCHANT_HEADER)
    if principal.merchant is not None:
        if named not in {None, principal.merchant}:
            raise Problem(403, "role-not-allowed", "this key acts for its own merchant only")
        return principal.merchant
    if named is None:
        detail = f"name the merchant in the header {MERCHANT_HEADER}"
        raise bad_parameter(MERCHANT_HEADER, "merchant-required", detail)
    if _ID.fullmatch(named) is None:
        raise bad_parameter(MERCHANT_HEADER, "malformed", "is no merchant's id")
    return named


class RemoteKeys:
    """Keys as the ledger knows them, asked over HTTP and remembered for 30 s.

    So a revoked key works for up to 30 s more. While the ledger does not answer, who was known is
    let in for `FORGET_AFTER`; whoever was not is told to come back.
    """

    ASK_AGAIN_AFTER = timedelta(seconds=30)
    FORGET_AFTER = timedelta(minutes=10)
    REMEMBERED_MAX = 10_000

    def __init__(
        self, ledger_url: str, clock: Clock, client: httpx.AsyncClient | None = None
    ) -> None:
        self._url = f"{ledger_url.rstrip('/')}/v1/keys/self"
        self._clock = clock
        self._client = client or httpx.AsyncClient(timeout=httpx.Timeout(2.0))
        self._known: dict[bytes, tuple[datetime, Principal]] = {}

    async def find(self, secret: str) -> Principal | None:
        """As in `Keys`.

        Raises:
            Problem: 503 when the ledger does not answer and the key is not remembered.
        """
        key = hashed(secret)
        asked_at, principal = self._known.get(key, (None, None))
        age = self._clock() - asked_at if asked_at is not None else None
        if age is not None and age < self.ASK_AGAIN_AFTER:
            return principal
        try:
            found = await self._ask(secret)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            if age is not None and age < self.FORGET_AFTER:
                return principal
            raise unavailable("the ledger, which knows the keys, does not answer") from error
        self._remember(key, found)
        return found

    async def _ask(self, secret: str) -> Principal | None:
        response = await self._client.get(self._url, headers={"Authorization": f"Bearer {secret}"})
        if response.status_code == httpx.codes.UNAUTHORIZED:
            return None
        response.raise_for_status()
        return msgspec.json.decode(response.content, type=Principal)

    def _remember(self, key: bytes, principal: Principal | None) -> None:
        self._known.pop(key, None)
        if principal is None:
            return  # asked again each time: a key made a moment ago has to work
        if len(self._known) >= self.REMEMBERED_MAX:
            self._known.pop(next(iter(self._known)))
        self._known[key] = (self._clock(), principal)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()


def _unauthorized(code: str, detail: str, *, error: str | None = None) -> Problem:
    challenge = "Bearer" if error is None else f'Bearer error="{error}"'
    return Problem(401, code, detail, headers={"WWW-Authenticate": challenge})
