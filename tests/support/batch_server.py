"""A stand-in for `POST /v1/batches` on loopback, which can fail in every way an importer meets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class BatchServer:
    """What it has recorded, and how its next requests fail.

    Faults, one a request: an HTTP status; or ``"cut"``: it records everything, answers half of
    it and hangs up.
    """

    url: str = ""
    faults: list[int | str] = field(default_factory=list)
    recorded: dict[str, object] = field(default_factory=dict)
    requests: int = 0
    refused_ids: set[str] = field(default_factory=set)
    undecided_ids: set[str] = field(default_factory=set)  # at the first time of asking
    waiting_ids: set[str] = field(default_factory=set)  # likewise
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, raw: bytes) -> dict[str, object]:
        """One line of the answer."""
        command = json.loads(raw)
        name: dict[str, object] = {"type": command["type"], "id": command["id"], "positions": []}
        if command["id"] in self.refused_ids:
            return {"status": 422, "code": "invalid", "detail": "one field is bad"}
        if command["id"] in self.undecided_ids:
            self.undecided_ids.discard(command["id"])
            return name | {"outcome": "accepted"}
        if command["id"] in self.waiting_ids:
            self.waiting_ids.discard(command["id"])
            return name | {"outcome": "accepted", "code": "waits-for-purchase"}
        is_repeated = command["id"] in self.recorded
        self.recorded[command["id"]] = command
        return name | {"outcome": "recorded", **({"repeated": True} if is_repeated else {})}


@contextmanager
def running_batch_server() -> Iterator[BatchServer]:
    """Serve on a free port until the block ends."""
    state = BatchServer()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

        def do_GET(self) -> None:
            id_ = self.path.rpartition("/")[2]
            is_known = self.path == "/healthz" or id_ in state.recorded
            body = b"{}" if is_known else b'{"status": 404, "code": "not-found", "detail": "no"}'
            self.send(200 if is_known else 404, body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with state.lock:
                state.requests += 1
                fault = state.faults.pop(0) if state.faults else None
                if isinstance(fault, int):
                    self.send(fault, json.dumps({"status": fault, "code": "x"}).encode())
                    return
                lines = [json.dumps(state.answer(line)).encode() for line in body.splitlines()]
            answer = b"".join(line + b"\n" for line in lines)
            if fault == "cut":
                self.send(200, b"\n".join(lines[: len(lines) // 2]) + b"\n", announce=len(answer))
                self.close_connection = True
                return
            self.send(200, answer)

        def send(self, status: int, body: bytes, announce: int | None = None) -> None:
            self.send_response(status)
            self.send_header("content-length", str(announce or len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
