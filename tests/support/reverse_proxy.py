"""What nginx does in the full installation: one address before three APIs.

It runs on a thread of the test's own process, and streams requests and answers as they come.
"""

import asyncio
import threading
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from tests.support.nginx import ProxyRules

# RFC 9110, 7.6.1: these are about one connection, and the lengths are found anew on each.
_OF_THE_CONNECTION = {
    *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
    *("upgrade", "content-length", "date", "server"),
}


class _Proxy:
    def __init__(self, rules: ProxyRules, places: Mapping[str, str]) -> None:
        self._rules = rules
        self._places = places
        # As nginx: a connection for each request, so that none is found dead after a restart.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        self.session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        route = self._rules.route(request.path)
        place = self._places[route.host]
        length = request.content_length
        if length is not None and length > self._rules.body_bytes_max:
            return web.Response(status=413, text="413 Request Entity Too Large")
        url = URL(place + route.translated(request.raw_path), encoded=True)
        has_body = length is not None or "transfer-encoding" in request.headers
        headers = _passed_on(request.headers)
        if length is not None:
            headers["Content-Length"] = str(length)
        try:
            answer = await self.session.request(
                request.method,
                url,
                headers=headers,
                data=request.content.iter_any() if has_body else None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, TimeoutError):
            return web.Response(status=502, text="502 Bad Gateway")
        async with answer:
            return await self._pass_on(request, answer)

    async def _pass_on(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        given = web.StreamResponse(status=answer.status, reason=answer.reason)
        given.headers.extend(_passed_on(answer.headers))
        if answer.content_length is not None:
            given.content_length = answer.content_length
        await given.prepare(request)
        try:
            async for part in answer.content.iter_any():
                await given.write(part)
        except aiohttp.ClientError:
            # The program behind died in the middle of its answer: so does ours.
            assert request.transport is not None
            request.transport.abort()
        else:
            await given.write_eof()
        return given


def _passed_on(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Also those that stand there twice."""
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in _OF_THE_CONNECTION
    )


@contextmanager
def running_proxy(rules: ProxyRules, places: Mapping[str, str]) -> Iterator[str]:
    """The proxy's address while the block runs; `places` has each program's own by its name."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy")
    thread.start()

    def do(work: Awaitable[Any]) -> Any:
        async def run() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), loop).result(30)

    async def start() -> tuple[web.AppRunner, _Proxy]:
        proxy = _Proxy(rules, places)
        app = web.Application(client_max_size=rules.body_bytes_max)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1_024).start()
        return runner, proxy

    runner, proxy = do(start())
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        do(runner.cleanup())
        do(proxy.session.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
