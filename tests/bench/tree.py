"""What the Merkle tree and the signed checkpoint add to an event, and what a proof costs."""

from __future__ import annotations

import statistics
import time
from contextlib import closing

from services.ledger.views import proofs
from services.runtime.checkpoints import Notary
from services.runtime.database import Database, open_database
from services.runtime.merkle import Edge
from services.runtime.migrations import migrate
from services.runtime.notes import Signer
from services.runtime.tree import Tree
from tests.bench.figures import Figure
from tests.support.stack import Stack

BATCHES = 300
BATCH_SIZE = 2_000
EVENT_BYTES = 430
US_PER_EVENT_MAX = 5.0
PROOFS = 2_000


def measure(stack: Stack) -> list[Figure]:
    """Transactions that hold the tree and the checkpoint only: an upper bound, commit included."""
    with closing(open_database(stack.fresh_database())) as database:
        migrate(database, "services.ledger")
        edge, us_per_event = _grow(database)
        p99_ms = _prove(database, edge.size)
    note = f"batches of {BATCH_SIZE:,} up to {edge.size:,} events, commit included"
    remembered = sum(map(len, (*edge.peaks, *edge.parts)))
    return [
        Figure.against("tree_us_per_event", us_per_event, "us", US_PER_EVENT_MAX, note),
        Figure("tree_edge_bytes", remembered, "bytes", note="all that the writer remembers of it"),
        Figure("proof_p99_ms", round(p99_ms, 2), "ms", note="of inclusion, one after another"),
    ]


def _grow(database: Database) -> tuple[Edge, float]:
    tree, edge = Tree(Notary([Signer("bench.localhost/log", bytes(32))])), Edge()
    costs_s = []
    for batch in range(BATCHES):
        events = [b"%*d" % (EVENT_BYTES, batch * BATCH_SIZE + n) for n in range(BATCH_SIZE)]
        began_s = time.perf_counter()
        with database.write() as connection:
            edge = tree.grow(connection, edge, events)
        costs_s.append(time.perf_counter() - began_s)
    return edge, statistics.mean(costs_s) * 1e6 / BATCH_SIZE


def _prove(database: Database, size: int) -> float:
    costs_s = []
    for number in range(PROOFS):
        began_s = time.perf_counter()
        with database.read() as connection:
            proofs.proof_of_inclusion(connection, number * (size // PROOFS) + 1)
        costs_s.append(time.perf_counter() - began_s)
    return sorted(costs_s)[int(PROOFS * 0.99)] * 1_000
