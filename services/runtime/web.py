"""The HTTP door that all services share: one kind of app, bounded bodies, waits, pages, answers."""

import asyncio
import re
import signal
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Annotated, Any

import msgspec
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Path, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.runtime import problems
from services.runtime.contracts import Contract, decode
from services.runtime.door import Door
from services.runtime.health import PATHS, Health
from services.runtime.openapi import complete, refuse_unknown_parameters
from services.runtime.problems import Problem

JSON = "application/json"
NDJSON = "application/x-ndjson"
ID_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$"
BODY_BYTES_MAX = 1 << 20
_HEARD_BYTES_MAX = 32 << 20
WAIT_S_MAX = 30
STOP_GRACE_S = 2
"""How long answers under way may take once the process was asked to stop; then they become 503."""

# One preference of a list (RFC 7240): its name, its value if it has one, and parameters to skip.
_PREFERENCE = re.compile(
    r'(?:^|,)\s*([\w!#$%&\'*+.^`|~-]+)\s*(?:=\s*("[^"]*"|[^\s;,"]*))?(?:"[^"]*"|[^,"])*', re.ASCII
)
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        return complete(super().openapi())


def application(
    title: str,
    version: str,
    routers: Sequence[APIRouter],
    *,
    lifespan: Lifespan | None = None,
    health: Health,
) -> FastAPI:
    """An app with what every API has: problems, health, metrics, ``/docs``, OpenAPI."""
    app = _App(
        title=title,
        version=version,
        lifespan=lifespan,
        dependencies=[Depends(refuse_unknown_parameters)],
        redirect_slashes=False,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.state.stopping = asyncio.Event()
    app.add_middleware(Door)
    problems.install(app)
    for router in routers:
        app.include_router(router)
    for path in PATHS:
        app.add_api_route(
            path, _health_route(health, path), methods=["GET", "HEAD"], include_in_schema=False
        )
    return app


def _health_route(health: Health, path: str) -> Callable[[], Awaitable[Response]]:
    async def answer_health() -> Response:
        if path == "/healthz":  # alive means: this very loop runs
            status, media_type, body = health.answer(path)
        else:
            status, media_type, body = await asyncio.to_thread(health.answer, path)
        return Response(body, status, media_type=media_type)

    return answer_health


async def body(
    request: Request, *, limit_bytes: int = BODY_BYTES_MAX, types: Sequence[str] = (JSON,)
) -> bytes:
    """The raw body, of which no more than ``limit_bytes`` is kept.

    Who sends somewhat more is heard out: a connection closed on a body costs its sender the answer.

    Raises:
        Problem: 415 for another content type or coding, 413 for too much.
    """
    _check_content_type(request, types)
    announced = request.headers.get("content-length", "")
    if not announced.isdecimal() or int(announced) <= _HEARD_BYTES_MAX:
        size_bytes, parts = 0, bytearray()
        async for part in request.stream():
            size_bytes += len(part)
            if size_bytes > _HEARD_BYTES_MAX:
                break
            parts += part if size_bytes <= limit_bytes else b""
        else:
            if size_bytes <= limit_bytes:
                return bytes(parts)
    detail = f"a body here has at most {limit_bytes} bytes"
    raise Problem(413, "too-large", detail, headers={"Connection": "close"})


async def content(request: Request, contract: Contract) -> Any:
    """The body as a value that keeps ``contract``.

    Raises:
        Problem: 413, 415, 400 ``not-json``, or 422 ``invalid`` with every bad field.
    """
    value = decode(await body(request))
    errors = contract.errors(value)
    if errors:
        raise problems.invalid(errors)
    return value


def _check_content_type(request: Request, types: Sequence[str]) -> None:
    named, *parameters = request.headers.get("content-type", "").lower().split(";")
    charset = next((p.split("=")[1] for p in parameters if p.strip().startswith("charset=")), "")
    is_utf8 = charset.strip(' "') in {"", "utf-8"}
    if named.strip() not in types or not is_utf8 or "content-encoding" in request.headers:
        accepted = " or ".join(types)
        raise Problem(415, "unsupported-media-type", f"send {accepted}, in UTF-8, not compressed")


def prefer_wait_s(request: Request, default: float | None) -> float | None:
    """How long the caller wants to wait for the decision (RFC 7240); None: not at all.

    ``wait=N`` counts up to `WAIT_S_MAX`; ``respond-async`` alone means not to wait; whatever else
    is preferred or malformed is ignored, as the RFC asks. The answer gets ``Preference-Applied``.
    """
    seconds = _preferences(request).get("wait", "")
    if _SECONDS.fullmatch(seconds):
        wait_s = min(int(seconds), WAIT_S_MAX)
        _apply(request, f"wait={wait_s}")
        return float(wait_s)
    return None if prefers(request, "respond-async") else default


def prefers(request: Request, preference: str) -> bool:
    """Whether the caller asks for something that the door will do."""
    is_preferred = preference in _preferences(request)
    if is_preferred:
        _apply(request, preference)
    return is_preferred


def _preferences(request: Request) -> dict[str, str]:
    found = _PREFERENCE.findall(",".join(request.headers.getlist("prefer")))
    return {name.lower(): value.strip('"') for name, value in reversed(found)}  # the first counts


def _apply(request: Request, preference: str) -> None:
    before = getattr(request.state, "preference_applied", None)
    request.state.preference_applied = f"{before}, {preference}" if before else preference


def traceparent(request: Request) -> str | None:
    """The trace to hand on with what this request causes."""
    found: str | None = request.state.traceparent
    return found


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for; ``after`` is the ``next`` of the page before."""

    limit: int
    after: str | None


async def _page(
    limit: Annotated[int, Query(ge=1, le=1000, description="Items at most.")] = 100,
    after: Annotated[
        str | None,
        Query(max_length=256, pattern=r"^[^\x00-\x1f]*$", description="`next` of the page before."),
    ] = None,
) -> Page:
    return Page(limit, after)


# For the signatures of routes; each refuses with 422 and {parameter, code, detail}.
PathId = Annotated[str, Path(pattern=ID_PATTERN, description="An id that its owner chose.")]
Paging = Annotated[Page, Depends(_page)]


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; ``bytes`` are sent as they are."""
    raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return Response(raw, status, headers=headers, media_type=JSON)


def ndjson(request: Request, lines: AsyncIterator[bytes]) -> Response:
    """A streamed answer of whole lines; a stream that follows ends when the process stops."""
    return StreamingResponse(_until_stopping(request, lines), media_type=NDJSON)


async def _until_stopping(request: Request, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    stopping = asyncio.ensure_future(request.app.state.stopping.wait())
    try:
        while True:
            coming = asyncio.ensure_future(anext(lines, None))
            try:
                await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                coming.cancel()  # of no effect on what is done
            if coming.cancelled() or not coming.done():
                return
            line = coming.result()
            if line is None:
                return
            yield line
    finally:
        stopping.cancel()


class _Server(uvicorn.Server):
    """uvicorn, except that a signal ends `serve` and not the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(each, self.handle_exit) for each in signals]
        try:
            yield
        finally:
            for each, handler in zip(signals, before, strict=True):
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's
        self.force_exit = self.should_exit  # the second signal waits for nobody
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        assert isinstance(self.config.app, FastAPI)
        self.config.app.state.stopping.set()
        await super().shutdown(sockets)


def serve(app: FastAPI, host: str, port: int, sockets: list[socket.socket] | None = None) -> None:
    """Answer requests until SIGTERM or SIGINT; then finish what is under way within 5 s."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_GRACE_S,
    )
    _Server(config).run(sockets)
