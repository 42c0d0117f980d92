"""The writer alone: from Kafka to the durable decision, one process."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from datetime import timedelta

from services.ledger.consumer import NAME, Writer
from services.ledger.intake import TOPIC, Rules
from services.runtime.clock import utc_now
from services.runtime.database import Database, open_database
from services.runtime.footing import Footing
from services.runtime.migrations import migrate
from services.runtime.ownership import Ownership, load_places
from services.runtime.stream import Stream, open_stream
from tests.bench.figures import Figure
from tests.bench.purchases import purchases
from tests.support.stack import Stack

COUNT = 120_000
POLL_S = 0.05
TIMEOUT_S = 300.0


def measure(stack: Stack) -> list[Figure]:
    """Decide ``COUNT`` purchases that wait on ``intake``."""
    with (
        closing(open_stream(stack.kafka_url)) as stream,
        closing(open_database(stack.fresh_database())) as database,
        closing(open_database(stack.fresh_database())) as bare,
    ):
        stream.ensure_topics()
        begins = _ends(stream)
        produced_per_s = _produce(stream)
        consumed_per_s = _consume(stream, begins)
        migrate(database, "services.ledger")
        decided_per_s = _decide(stream, database)
        copied_per_s = _copy(database, bare)
    unit = "purchases/s"
    note = "one process, Kafka to commit; the limit is the consumer alone"
    return [
        Figure.against("writer_purchases_per_s", decided_per_s, unit, consumed_per_s, note),
        Figure.against(
            "writer_purchases_per_s_to_copy",
            decided_per_s,
            unit,
            copied_per_s,
            "the same; the limit is COPY of the same rows of the log",
        ),
        Figure("producer_purchases_per_s", round(produced_per_s, 1), unit, note="kafka-python"),
    ]


def _ends(stream: Stream) -> dict[int, int]:
    with closing(stream.reader(TOPIC)) as reader:
        return reader.end_offsets()


def _produce(stream: Stream) -> float:
    messages = list(purchases(COUNT, prefix="bench"))
    with closing(stream.producer()) as producer:
        began_s = time.perf_counter()
        for start in range(0, COUNT, 5_000):
            producer.append(TOPIC, messages[start : start + 5_000])
        return COUNT / (time.perf_counter() - began_s)


def _consume(stream: Stream, begins: dict[int, int]) -> float:
    with closing(stream.reader(TOPIC)) as reader:
        reader.seek(begins)
        began_s = time.perf_counter()
        seen = 0
        while seen < COUNT and time.perf_counter() - began_s < TIMEOUT_S:
            seen += len(reader.poll(max_records=2_000, timeout_s=1))
        return seen / (time.perf_counter() - began_s)


def _decide(stream: Stream, database: Database) -> float:
    ownership = Ownership(database, utc_now, owner="bench", lease=timedelta(seconds=30))
    footing = Footing(database=database, stream=stream, ownership=ownership, clock=utc_now)
    rules = Rules(is_accepted_currency=lambda currency: currency == "USD", clock=utc_now)
    stop = threading.Event()
    thread = threading.Thread(target=Writer(footing, rules=rules).run, args=(stop,))
    began_s = time.perf_counter()
    thread.start()
    ends = _ends(stream)
    while time.perf_counter() - began_s < TIMEOUT_S:
        with database.read() as connection:
            places = load_places(connection, NAME)
        if places and all(places[n].next_offset >= end for n, end in ends.items() if end):
            break
        time.sleep(POLL_S)
    took_s = time.perf_counter() - began_s
    stop.set()
    thread.join()
    return COUNT / took_s


def _copy(database: Database, bare: Database) -> float:
    """COPY the very rows of the log into an equal table of an empty database."""
    columns = ("position", "stream", "version", "type", "event_id", "event", "chain")
    migrate(bare, "services.ledger")
    with database.read() as connection:
        rows = connection.rows(f"SELECT {', '.join(columns)} FROM events ORDER BY position")
    began_s = time.perf_counter()
    for start in range(0, len(rows), 2_000):
        with bare.write() as connection:
            connection.insert("events", columns, rows[start : start + 2_000])
    return len(rows) / (time.perf_counter() - began_s)
