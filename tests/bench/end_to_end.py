"""Through every process of the full installation: from Kafka to the award announced, and beyond."""

from __future__ import annotations

import json
import statistics
import threading
import time
from contextlib import closing

from aiohttp import web

from services.runtime.stream import Message, Producer, Reader, Stream, open_stream
from tests.bench.figures import Figure
from tests.bench.purchases import purchases
from tests.support.eventually import eventually
from tests.support.installation import Installation
from tests.support.receiver import Call, Receiver, ok

SECONDS = 60.0
UNDER_WAY_MAX = 6_000  # purchases that were produced and whose points are not announced yet
CHUNK = 500
WARM_UP_S = 5.0
DRAIN_S = 60.0
WEBHOOKS = 500
WEBHOOKS_PER_S = 50.0
_EARNED = b'"type":"stampbook.points.earned.v1"'


def measure(full: Installation) -> list[Figure]:
    """Closed loop: as many as go through while never more than a few thousand are under way."""
    assert full.kafka_url is not None
    with closing(open_stream(full.kafka_url)) as stream:
        per_s, drain_s = _sustain(stream)
        latencies_ms = _webhooks(full, stream)
    note = f"{SECONDS:g} s, at most {UNDER_WAY_MAX:,} under way, all roles on the same cores"
    hook_note = f"produced to received, {WEBHOOKS_PER_S:g}/s"
    cuts = statistics.quantiles(latencies_ms, n=100)
    return [
        Figure("end_to_end_purchases_per_s", round(per_s, 1), "purchases/s", note=note),
        Figure("end_to_end_drain_s", round(drain_s, 2), "s", note="until the last was announced"),
        Figure("webhook_p50_ms", round(cuts[49], 1), "ms", note=hook_note),
        Figure("webhook_p99_ms", round(cuts[98], 1), "ms", note=hook_note),
    ]


def _sustain(stream: Stream) -> tuple[float, float]:
    """Purchases a second after the warm-up, and how long the rest took in the end."""
    seen = _Seen(stream)
    produced = 0
    at_start: tuple[float, int] | None = None
    with closing(stream.producer()) as producer, closing(seen):
        supply = purchases(10_000_000, prefix=f"e2e{time.time_ns()}")
        began_s = time.perf_counter()
        while (now_s := time.perf_counter() - began_s) < WARM_UP_S + SECONDS:
            if at_start is None and now_s >= WARM_UP_S:
                at_start = (now_s, seen.earned)
            if produced - seen.earned < UNDER_WAY_MAX:
                producer.append("intake", [next(supply) for _ in range(CHUNK)])
                produced += CHUNK
            else:
                time.sleep(0.005)
        ended_s, earned = time.perf_counter() - began_s, seen.earned
        assert at_start is not None
        while seen.earned < produced and time.perf_counter() - began_s < ended_s + DRAIN_S:
            time.sleep(0.02)
        assert seen.earned == produced, f"{produced - seen.earned} purchases were never announced"
        drain_s = time.perf_counter() - began_s - ended_s
    return (earned - at_start[1]) / (ended_s - at_start[0]), drain_s


class _Seen:
    """Counts on a thread what topic ``ledger`` announces."""

    def __init__(self, stream: Stream) -> None:
        self.earned = 0
        self._stop = threading.Event()
        self._reader: Reader = stream.reader("ledger")
        self._reader.seek(self._reader.end_offsets())
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._reader.close()

    def _read(self) -> None:
        while not self._stop.is_set():
            records = self._reader.poll(max_records=2_000, timeout_s=0.2)
            self.earned += sum(_EARNED in record.value[:400] for record in records)


def _webhooks(full: Installation, stream: Stream) -> list[float]:
    """From producing a purchase to having received its points, at an easy pace."""
    sent_at_s: dict[str, float] = {}
    received_at_s: dict[str, float] = {}

    def note(call: Call) -> web.Response:
        received_at_s.setdefault(call.event["data"]["purchase"], time.perf_counter())
        return ok(call)

    with closing(Receiver()) as receiver, closing(stream.producer()) as producer:
        receiver.answer("/bench", note)
        with full.client() as client:
            endpoint = {"url": receiver.url("/bench"), "types": ["points.earned"]}
            client.put("/v1/endpoints/bench", json=endpoint).raise_for_status()
        _send_evenly(producer, sent_at_s)
        eventually(lambda: received_at_s.keys() >= sent_at_s.keys(), timeout_s=DRAIN_S)
    return [(received_at_s[purchase] - at_s) * 1_000 for purchase, at_s in sent_at_s.items()]


def _send_evenly(producer: Producer, sent_at_s: dict[str, float]) -> None:
    began_s = time.perf_counter()
    messages: list[Message] = list(purchases(WEBHOOKS, prefix=f"hook{time.time_ns()}", seed=2))
    for number, message in enumerate(messages):
        time.sleep(max(0.0, began_s + number / WEBHOOKS_PER_S - time.perf_counter()))
        sent_at_s[json.loads(message.value)["id"]] = time.perf_counter()
        producer.append("intake", [message])
