"""Which partitions belong to which shard: dealt out in turn, the same for every topic.

All topics have as many partitions and the same key, so what a shard reads on one topic it
writes on the same partitions of another, and no two shards ever write on one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from services.runtime.database import Connection
from services.runtime.ownership import Place, load_places, save_places
from services.runtime.stream import partition_of

DEAL = "shards"  # among the positions: the shard as the partition, how many as the offset


class ShardsDiffer(Exception):
    """A log was written under another deal: its members would be dealt out anew. Never go on."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one shard of several has of the partitions.

    Raises:
        ValueError: there is no such shard.
    """

    shard: int = 0
    shards: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.shard < self.shards:
            raise ValueError(f"of {self.shards} shards none has the number {self.shard}")

    def partitions(self, partition_count: int) -> range:
        """The numbers of its partitions."""
        return range(self.shard, partition_count, self.shards)

    def owns(self, key: str, partition_count: int) -> bool:
        """Whether what has this key is its own."""
        return partition_of(key, partition_count) % self.shards == self.shard

    def own_key(self, name: str, partition_count: int) -> str:
        """A key of its own for what needs no order: the name, or the name with a number."""
        return next(key for key in _numbered(name) if self.owns(key, partition_count))


WHOLE = Share()


def claim(connection: Connection, share: Share) -> None:
    """Note which shard of how many this log is, once and for ever.

    Raises:
        ShardsDiffer: it is another one.
    """
    mine = {share.shard: Place(next_offset=share.shards)}
    noted = load_places(connection, DEAL)
    if not noted:
        save_places(connection, DEAL, mine)
    elif noted != mine:
        [(shard, of)] = noted.items()
        raise ShardsDiffer(
            f"this log is shard {shard} of {of.next_offset}, the settings say "
            f"{share.shard} of {share.shards}"
        )


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}.{number}" for number in count(1))
