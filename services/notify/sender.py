"""One HTTP attempt: signed, guarded, bounded in time and in what is read of the answer.

The guard sits where the socket is made, on the address that a name resolved to, for every
connection: a name that resolves to something else a moment later gains nothing by it, an address
written as a number does not get around it, and no packet goes to a refused address. Redirects are
not followed, proxies of the environment not used, cookies not kept, answers not unpacked.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter

import aiohttp
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from services.notify.domain.addresses import may_connect
from services.notify.domain.retries import Attempt
from services.notify.domain.signing import signed_headers
from services.runtime.clock import Clock

ANSWER_BYTES_MAX = 2_048
_CONNECTION_KEPT_S = 4.0  # less than the 5 s after which many servers close an idle one
_NAMES_RESOLVED_AT_ONCE_MAX = 64
_HEADERS = {"content-type": "application/json", "user-agent": "Stampbook"}


class RefusedAddress(OSError):
    """The name leads to an address that is not called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What may be connected to."""

    allow_loopback: bool

    def socket_for(self, address: AddrInfoType) -> socket.socket:
        """A socket to connect to this resolved address.

        Raises:
            RefusedAddress: it is private, local or reserved.
        """
        family, kind, protocol, _, to = address
        if not may_connect(str(to[0]), allow_loopback=self.allow_loopback):
            raise RefusedAddress(errno.EACCES, f"{to[0]} is private, local or reserved")
        return socket.socket(family=family, type=kind, proto=protocol)


class Sender:
    """Sends bodies to addresses. Made and closed on the event loop that uses it."""

    def __init__(
        self,
        clock: Clock,
        guard: Guard,
        *,
        timeout: timedelta,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._clock = clock
        self._resolver = resolver or _SystemResolver()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,  # lanes bound themselves
                ssl=tls or ssl.create_default_context(),
                resolver=self._resolver,
                socket_factory=guard.socket_for,
                keepalive_timeout=_CONNECTION_KEPT_S,
            ),
            timeout=aiohttp.ClientTimeout(total=timeout.total_seconds()),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers=_HEADERS,
        )

    async def send(self, url: str, key: bytes, *, event_id: str, body: bytes) -> Attempt:
        """Try once; whatever happens is told in the attempt."""
        at = self._clock()
        headers = signed_headers(key, event_id=event_id, timestamp_s=int(at.timestamp()), body=body)
        began = perf_counter()

        def attempt(status: int | None = None, **known: str | None) -> Attempt:
            return Attempt(
                at=at,
                latency_ms=round((perf_counter() - began) * 1_000),
                status=status,
                error=known.get("error"),
                answer=known.get("answer") or "",
                retry_after=known.get("retry_after"),
            )

        try:
            return await self._post(url, headers, body, attempt)
        except TimeoutError:
            return attempt(error="no answer in time")
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            return attempt(error=_said(error))

    async def close(self) -> None:
        """Drop every connection."""
        await self._session.close()
        await self._resolver.close()

    async def _post(
        self,
        url: str,
        headers: dict[str, str],
        body: bytes,
        attempt: Callable[..., Attempt],
    ) -> Attempt:
        async with self._session.post(
            url, data=body, headers=headers, allow_redirects=False
        ) as response:
            retry_after = response.headers.get("retry-after")
            try:
                answer = await _beginning(response)
            except (TimeoutError, aiohttp.ClientError) as error:
                # The status came; that its body did not does not undo what the receiver did.
                response.close()
                return attempt(response.status, error=_said(error), retry_after=retry_after)
            return attempt(response.status, answer=answer, retry_after=retry_after)


class _SystemResolver(AbstractResolver):
    """The system's resolver, on threads of its own: uvloop's default pool has four."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_NAMES_RESOLVED_AT_ONCE_MAX, "names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every address of a name."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads,
            lambda: socket.getaddrinfo(
                host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            ),
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(to[0]),
                port=port,
                family=its_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for its_family, _, protocol, _, to in found
        ]

    async def close(self) -> None:
        """Wait for nobody."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """The first 2 KB of an answer; a connection with more on it is not used again."""
    read = bytearray()
    while len(read) < ANSWER_BYTES_MAX:
        part = await response.content.read(ANSWER_BYTES_MAX - len(read))
        if not part:
            break
        read += part
    else:
        response.close()
    # PostgreSQL's text holds no NUL.
    return read.decode("utf-8", "replace").replace("\0", "\ufffd")


def _said(error: BaseException) -> str:
    """What a person makes sense of, in one bounded line."""
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or str(error.os_error)
        return f"cannot connect to {error.host}:{error.port}: {reason}"[:500]
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:500]
