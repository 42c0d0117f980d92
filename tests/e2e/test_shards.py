"""Two shards on two databases: every member in one of them, every event announced once."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from services.ledger.verify import verify
from services.runtime.database import Database, open_database
from services.runtime.stream import Stream, open_stream
from tests.bench.purchases import purchases
from tests.support.eventually import eventually
from tests.support.ledgers import Wanted, kafka_of_our_own, running_ledgers
from tests.support.server import Server
from tests.support.stack import Stack

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]
SHARDS = 2
ROLES = ("writer", "relay")


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoShards:
    """What runs, and where it writes."""

    servers: dict[str, Server]
    databases: list[Database]
    stream: Stream

    def produce(self, count: int, *, prefix: str) -> None:
        """Purchases of many members, on all partitions."""
        with closing(self.stream.producer()) as producer:
            producer.append("intake", list(purchases(count, prefix=prefix)))

    def recorded(self) -> list[int]:
        """How many events each log holds."""
        counts = []
        for database in self.databases:
            with database.read() as connection:
                [(position,)] = connection.rows("SELECT position FROM log_head")
            counts.append(int(position))
        return counts

    def announced(self) -> list[tuple[int, dict[str, Any]]]:
        """Partition and event of all that lies on topic ``ledger``."""
        found: list[tuple[int, dict[str, Any]]] = []
        with closing(self.stream.reader("ledger")) as reader:
            ends = reader.end_offsets()
            reader.seek(dict.fromkeys(ends, 0))
            while len(found) < sum(ends.values()):
                records = reader.poll(max_records=5_000, timeout_s=1)
                found += [(each.partition, json.loads(each.value)) for each in records]
        return found


@contextmanager
def running_shards(stack: Stack) -> Iterator[TwoShards]:
    urls = [stack.fresh_database() for _ in range(SHARDS)]
    kafka_url = kafka_of_our_own(stack)
    wanted = [
        Wanted(
            name=f"{role}-{shard}",
            role=role,
            database_url=url,
            settings={"LEDGER_SHARD": str(shard), "LEDGER_SHARDS": str(SHARDS)},
        )
        for shard, url in enumerate(urls)
        for role in ROLES
    ]
    with (
        running_ledgers(wanted, kafka_url=kafka_url) as servers,
        closing(open_stream(kafka_url)) as stream,
        closing(open_database(urls[0])) as first,
        closing(open_database(urls[1])) as second,
    ):
        yield TwoShards(servers=servers, databases=[first, second], stream=stream)


def test_two_shards_share_the_members_and_neither_needs_the_other(stack: Stack) -> None:
    with running_shards(stack) as shards:
        shards.produce(400, prefix="both")
        eventually(lambda: sum(shards.recorded()) == 400)
        before = shards.recorded()
        shards.servers["writer-0"].kill()
        shards.servers["relay-0"].kill()
        shards.produce(400, prefix="one")
        eventually(lambda: shards.recorded()[1] > before[1] + 100)
        while_one_was_down = shards.recorded()[0]
        shards.servers["writer-0"].launch()
        shards.servers["relay-0"].launch()
        eventually(lambda: sum(shards.recorded()) == 800)
        eventually(lambda: len(ids(shards.announced())) == 800)

        assert while_one_was_down == before[0]
        assert min(before) > 0
        assert all(verify(each, progress=lambda *_: None).ok for each in shards.databases)
        is_in_order_and_complete(shards.announced(), shards.recorded())


def ids(announced: list[tuple[int, dict[str, Any]]]) -> set[str]:
    return {event["id"] for _, event in announced}


def is_in_order_and_complete(
    announced: list[tuple[int, dict[str, Any]]], recorded: list[int]
) -> None:
    """Each partition brings one shard's events in the order of its log; each member has one."""
    positions: defaultdict[int, set[int]] = defaultdict(set)
    shards_of: defaultdict[str, set[int]] = defaultdict(set)
    newest: defaultdict[int, int] = defaultdict(int)
    seen: set[str] = set()
    for partition, event in announced:
        assert event["shard"] == partition % SHARDS
        positions[event["shard"]].add(event["position"])
        shards_of[event["subject"]].add(event["shard"])
        if event["id"] not in seen:
            assert event["position"] > newest[partition]
            newest[partition] = event["position"]
        seen.add(event["id"])
    assert [positions[n] for n in range(SHARDS)] == [set(range(1, n + 1)) for n in recorded]
    assert all(len(found) == 1 for found in shards_of.values())
