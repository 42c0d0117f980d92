"""Partitions are dealt out to shards, each to exactly one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.shards import Share
from services.runtime.stream import partition_of


@given(shards=st.integers(1, 20), partitions=st.integers(1, 40))
def test_every_partition_belongs_to_one_shard(shards: int, partitions: int) -> None:
    dealt = [n for shard in range(shards) for n in Share(shard, shards).partitions(partitions)]

    assert sorted(dealt) == list(range(partitions))


@given(key=st.text(), shards=st.integers(1, 12), partitions=st.integers(12, 40))
def test_a_key_belongs_to_the_shard_of_its_partition(
    key: str, shards: int, partitions: int
) -> None:
    [owner] = [n for n in range(shards) if Share(n, shards).owns(key, partitions)]

    assert partition_of(key, partitions) in Share(owner, shards).partitions(partitions)


@given(name=st.text(), shard=st.integers(0, 3))
def test_finds_a_key_of_its_own_for_any_name(name: str, shard: int) -> None:
    share = Share(shard, 4)

    assert share.owns(share.own_key(name, 12), 12)


@pytest.mark.parametrize(("shard", "shards"), [(1, 1), (-1, 2), (2, 2), (0, 0)])
def test_there_is_no_such_shard(shard: int, shards: int) -> None:
    with pytest.raises(ValueError, match="none has the number"):
        Share(shard, shards)
