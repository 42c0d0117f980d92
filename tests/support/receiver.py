"""A real HTTP receiver on loopback whose answers the test chooses, path by path."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web
from standardwebhooks import Webhook


@dataclass(frozen=True, slots=True)
class Call:
    """One request that arrived."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    peer: tuple[str, int]  # one peer, one connection

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found

    @property
    def position(self) -> int:
        return int(self.event["position"])

    @property
    def member(self) -> str | None:
        return self.event.get("subject")

    def is_signed_with(self, secret: str) -> bool:
        """What the receivers' own library says, whatever the clock of the test says."""
        at = datetime.fromtimestamp(int(self.headers["webhook-timestamp"]), UTC)
        expected = Webhook(secret).sign(self.id, at, self.body.decode())
        return self.headers["webhook-signature"] == expected


Answer = Callable[[Call], web.Response]


def ok(_: Call) -> web.Response:
    return web.Response(status=204)


def broken(_: Call) -> web.Response:
    return web.Response(status=500, text="out of order")


class Receiver:
    """Runs on a thread of its own until closed."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.under_way: Counter[str] = Counter()
        self._answers: dict[str, Answer] = {}
        self._hanging: dict[str, asyncio.Event] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="receiver")
        self._thread.start()
        self._runner, self.port = self._do(self._start())

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def answer(self, path: str, answer: Answer) -> None:
        """From now on, answer so; whoever hangs on this path hears it now."""
        self._answers[path] = answer
        self._loop.call_soon_threadsafe(self._release, path)

    def hang(self, path: str) -> None:
        """From now on, do not answer."""
        self._hanging.setdefault(path, asyncio.Event())

    def got(self, path: str = "/") -> list[Call]:
        return [call for call in self.calls if call.path == path]

    def positions(self, path: str = "/", *, member: str | None = None) -> list[int]:
        """In the order in which they came."""
        return [c.position for c in self.got(path) if member is None or c.member == member]

    def close(self) -> None:
        for path in list(self._hanging):
            self._loop.call_soon_threadsafe(self._release, path)
        self._do(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _release(self, path: str) -> None:
        hanging = self._hanging.pop(path, None)
        if hanging:
            hanging.set()

    async def _start(self) -> tuple[web.AppRunner, int]:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{tail:.*}", self._receive)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, runner.addresses[0][1]

    async def _receive(self, request: web.Request) -> web.Response:
        transport = request.transport
        assert transport is not None
        body = await request.read()
        peer = transport.get_extra_info("peername")
        call = Call(request.path, {k.lower(): v for k, v in request.headers.items()}, body, peer)
        self.calls.append(call)
        self.under_way[call.path] += 1
        try:
            hanging = self._hanging.get(call.path)
            if hanging:
                await hanging.wait()
            return self._answers.get(call.path, ok)(call)
        finally:
            self.under_way[call.path] -= 1
