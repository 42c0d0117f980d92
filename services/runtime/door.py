"""The outermost layer of every app: what happens to each request, whatever it asks for."""

import asyncio
from time import perf_counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.runtime.health import duration_s
from services.runtime.problems import internal_error, unavailable
from services.runtime.telemetry import span, valid_traceparent


class Door:
    """Times and traces a request, and answers for those who cannot any more.

    That is: an exception that nobody foresaw becomes a 500 without its trace, and a request that
    still waits when the process stops becomes a 503.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._request_s = duration_s(
            "http_request", "From the first byte in to the last out.", ("method", "route", "status")
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        answer = _Answer(scope, send)
        parent = valid_traceparent(Headers(scope=scope).get("traceparent"))
        with span(f"http {scope['method']}", parent=parent) as current:
            scope.setdefault("state", {})["traceparent"] = current.traceparent
            try:
                await self._app(scope, receive, answer.send)
            except asyncio.CancelledError:
                await self._cut_off(scope, receive, answer)
            except Exception as error:
                if answer.status is not None:
                    raise
                await internal_error(error).response()(scope, receive, answer.send)
            route, status = getattr(scope.get("route"), "path", "none"), str(answer.status)
            current.set(route=route, status=status)
        self._request_s.labels(scope["method"], route, status).observe(perf_counter() - began)

    async def _cut_off(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        """The server cancels what is under way after its grace; a client may come back later."""
        if not scope["app"].state.stopping.is_set():
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        if answer.status is None:
            refusal = unavailable("this process is stopping; what was sent may be sent again")
            await refusal.response()(scope, receive, answer.send)
        elif not answer.is_complete:
            await answer.send({"type": "http.response.body", "body": b"", "more_body": False})


class _Answer:
    """What was sent so far."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self.status: int | None = None
        self.is_complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            applied = self._scope["state"].get("preference_applied")
            if applied is not None:
                MutableHeaders(scope=message)["preference-applied"] = applied
        elif not message.get("more_body", False):
            self.is_complete = True
        await self._send(message)
