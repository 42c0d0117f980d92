"""A request to an app whose answer is read while it comes; httpx's transport waits for its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI


class Stream:
    """An answer on its way."""

    def __init__(self) -> None:
        self.status = 0
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._rest = b""
        self._gone = asyncio.Event()

    async def has_begun(self) -> bool:
        """Whether the status was answered."""
        return self.status != 0

    async def line(self, *, timeout_s: float = 30) -> bytes | None:
        """The next line, empty ones too; None at the end."""
        return await asyncio.wait_for(self._lines.get(), timeout_s)

    async def event_line(self) -> bytes | None:
        """The next line that holds something."""
        while (line := await self.line()) == b"":
            pass
        return line

    async def receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        *lines, self._rest = (self._rest + message.get("body", b"")).split(b"\n")
        for line in lines:
            self._lines.put_nowait(line)
        if not message.get("more_body", False):
            self._lines.put_nowait(None)

    def leave(self) -> None:
        """Close the connection."""
        self._gone.set()


@asynccontextmanager
async def streaming(app: FastAPI, path: str, **headers: str) -> AsyncIterator[Stream]:
    """GET a path, and leave at the end of the block."""
    stream = Stream()
    bare_path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": bare_path,
        "raw_path": bare_path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), text.encode()) for name, text in headers.items()],
        "server": ("stampbook", 80),
        "client": ("127.0.0.1", 1),
    }
    answering = asyncio.create_task(app(scope, stream.receive, stream.send))  # type: ignore[arg-type]
    try:
        yield stream
    finally:
        stream.leave()
        await asyncio.wait_for(answering, 30)
