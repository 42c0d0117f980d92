"""Our partition of a key is the one that every Kafka client computes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2

from services.runtime.stream import partition_of

# From Kafka's own tests of murmur2 (signed there).
PUBLISHED = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize(("key", "hashed"), PUBLISHED.items())
def test_hashes_as_kafka_published(key: str, hashed: int) -> None:
    assert partition_of(key, 1 << 31) == hashed & 0x7FFFFFFF


@given(key=st.text(), count=st.integers(1, 1_000))
def test_agrees_with_kafka_python(key: str, count: int) -> None:
    assert partition_of(key, count) == (murmur2(key.encode()) & 0x7FFFFFFF) % count
