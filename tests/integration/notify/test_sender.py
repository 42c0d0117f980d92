"""Names that lie, receivers that redirect, chatter, or do not answer at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from services.notify.domain.retries import Attempt
from services.notify.sender import ANSWER_BYTES_MAX
from services.runtime.database import Database
from tests.support.databases import migrated
from tests.support.eventually import eventually
from tests.support.post import Post
from tests.support.receiver import Receiver


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """One kind is enough for what never sees it."""
    with migrated(f"sqlite:///{tmp_path / 'notify.db'}", "services.notify") as database:
        yield database


def attempts(post: Post) -> list[Attempt]:
    found = post.notify.deliveries("grocer", "till", state=None, after=0, limit=100)
    return [attempt for each in found for attempt in each.attempts]


class Liar(AbstractResolver):
    """Says a public address at first, a private one when it counts; or whatever it is told."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - aiohttp's
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["::1"], ["10.0.0.1", "::ffff:127.0.0.1"], ["0.0.0.0"]]
)
def test_a_name_that_leads_inside_is_not_called(
    post: Post, receiver: Receiver, addresses: list[str]
) -> None:
    with (
        post.projecting(),
        post.dispatching(allow_loopback=False, resolver=lambda: Liar(*addresses)),
    ):
        post.put("till", f"http://shop.example:{receiver.port}/")
        post.record("1130")
        eventually(lambda: attempts(post))

    [attempt] = attempts(post)
    assert attempt.status is None
    assert "private, local or reserved" in (attempt.error or "")
    assert not receiver.calls


def test_an_address_in_numbers_is_not_called_either(post: Post, receiver: Receiver) -> None:
    with post.projecting(), post.dispatching(allow_loopback=False):
        post.put("till", receiver.url())  # as if loopback had been open when it was made
        post.record("1130")
        eventually(lambda: attempts(post))

    assert "private, local or reserved" in (attempts(post)[0].error or "")
    assert not receiver.calls


def test_names_are_resolved_by_the_system(post: Post, receiver: Receiver) -> None:
    with post.open():
        post.put("till", f"http://localhost:{receiver.port}/")
        post.record("1130")
        eventually(receiver.got)


def test_a_status_counts_even_if_the_rest_of_the_answer_never_comes(post: Post) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer_in_part, args=(server,), daemon=True).start()
        with post.projecting(), post.dispatching(timeout=timedelta(milliseconds=500)):
            post.put("till", f"http://127.0.0.1:{server.getsockname()[1]}/")
            post.record("1130")
            eventually(lambda: attempts(post))

    [attempt] = attempts(post)
    assert (attempt.status, attempt.is_delivered) == (200, True)
    assert attempt.error


def _answer_in_part(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        while b"data" not in connection.recv(65_536):
            pass
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nso far")
        while connection.recv(65_536):
            pass


def test_a_redirect_is_a_failure(post: Post, receiver: Receiver) -> None:
    elsewhere = receiver.url("/elsewhere")
    receiver.answer("/", lambda _: web.Response(status=307, headers={"Location": elsewhere}))
    with post.open():
        post.put("till", receiver.url())
        post.record("1130")
        eventually(lambda: attempts(post))

    assert attempts(post)[0].status == 307
    assert not receiver.got("/elsewhere")


def test_an_endless_answer_is_read_as_far_as_it_is_kept(post: Post, receiver: Receiver) -> None:
    receiver.answer("/", lambda _: web.Response(status=400, text="no\0" * 10_000_000))
    with post.open():
        post.put("till", receiver.url())
        post.record("1130")
        eventually(lambda: attempts(post))

    [attempt] = attempts(post)
    assert attempt.status == 400
    assert attempt.answer.startswith("no\ufffdno")
    assert len(attempt.answer) == ANSWER_BYTES_MAX


def test_what_does_not_answer_is_told_apart(post: Post, receiver: Receiver) -> None:
    receiver.hang("/slow")
    with post.projecting(), post.dispatching(timeout=timedelta(milliseconds=200)):
        post.put("till", receiver.url("/slow"))
        post.record("1130")
        eventually(lambda: attempts(post))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        post.put("till", f"http://127.0.0.1:{port}/")
        eventually(lambda: len(attempts(post)) == 2)
        post.put("till", f"https://127.0.0.1:{receiver.port}/")
        eventually(lambda: len(attempts(post)) == 3)

    slow, refused, no_tls = attempts(post)
    assert slow.error == "no answer in time"
    assert slow.latency_ms >= 200
    assert "cannot connect" in (refused.error or "")
    assert "SSL" in (no_tls.error or "").upper()
    assert {slow.status, refused.status, no_tls.status} == {None}
