"""The demo's shop: a small receiver of webhooks on this machine that checks every signature.

It shares no code with the sender; examples/webhook_receiver.py shows the same with the published
library of Standard Webhooks.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue

from stampbook.failures import Failure

_TOLERANCE_S = 300


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request that arrived."""

    id: str
    timestamp: str
    signatures: str
    body: bytes

    def is_signed_with(self, secret: str, *, now_s: float) -> bool:
        """Whether one of its signatures is right (Standard Webhooks, v1), and not an old one."""
        if not self.timestamp.isdigit() or abs(now_s - int(self.timestamp)) > _TOLERANCE_S:
            return False
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.timestamp}.".encode() + self.body
        right = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return any(hmac.compare_digest(each, right) for each in self.signatures.split())


class Receiver:
    """What has arrived, in order."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._arrived: Queue[Webhook] = Queue()

    def take(self, webhook: Webhook) -> None:
        """Keep one for `next`."""
        self._arrived.put(webhook)

    def next(self, *, timeout_s: float) -> Webhook:
        """The next one.

        Raises:
            Failure: none came in time.
        """
        try:
            return self._arrived.get(timeout=timeout_s)
        except Empty:
            raise Failure(f"No webhook arrived within {timeout_s:g} s.") from None


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Receive on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_POST(self) -> None:
            webhook = Webhook(
                id=self.headers.get("webhook-id", ""),
                timestamp=self.headers.get("webhook-timestamp", ""),
                signatures=self.headers.get("webhook-signature", ""),
                body=self.rfile.read(int(self.headers.get("content-length", 0))),
            )
            receiver.take(webhook)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """The story tells what came."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}/stampbook")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
