"""What happens to a request that cannot be answered in order."""

import asyncio
from types import SimpleNamespace

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from services.runtime.door import Door
from services.runtime.problems import as_problem

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
LINE: Message = {"type": "http.response.body", "body": b"1\n", "more_body": True}


class Request:
    """One request to a door, what it was answered, and whether the process is stopping."""

    def __init__(self, *answer: Message, error: Exception | None = None) -> None:
        self.answered: list[Message] = []
        self.is_waiting = asyncio.Event()
        self._stopping = asyncio.Event()
        self._answer = answer
        self._error = error

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        app = SimpleNamespace(state=SimpleNamespace(stopping=self._stopping))
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "app": app}
        await Door(self._serve)(scope, self._receive, self._send)

    async def _serve(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        for message in self._answer:
            await send(message)
        if self._error is not None:
            raise self._error
        self.is_waiting.set()
        await asyncio.Event().wait()

    async def _receive(self) -> Message:
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.answered.append(message)


async def cut_off(request: Request) -> asyncio.Task[None]:
    task = asyncio.create_task(request.run())
    await request.is_waiting.wait()
    task.cancel()
    await asyncio.wait([task], timeout=5)
    return task


async def test_who_still_waits_when_the_process_stops_is_told_to_come_back() -> None:
    request = Request()
    request.stop()

    task = await cut_off(request)

    start, _ = request.answered
    assert not task.cancelled()
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]


async def test_an_answer_under_way_is_ended_properly_when_the_process_stops() -> None:
    request = Request(START, LINE)
    request.stop()

    await cut_off(request)

    assert request.answered[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_who_is_cancelled_for_another_reason_is_left_alone() -> None:
    request = Request()

    task = await cut_off(request)

    assert task.cancelled()
    assert request.answered == []


async def test_a_failure_within_an_answer_is_left_to_the_server() -> None:
    request = Request(START, LINE, error=ZeroDivisionError("by nought"))

    with pytest.raises(ZeroDivisionError):
        await request.run()

    assert request.answered == [START, LINE]


async def test_what_is_no_request_passes_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    await Door(app)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]

    assert seen == ["lifespan"]


def test_a_client_that_left_is_no_fault_of_ours() -> None:
    assert as_problem(ClientDisconnect()).status == 400
