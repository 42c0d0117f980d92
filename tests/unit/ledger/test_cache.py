"""The writer's memory is bounded in bytes, whoever buys."""

import tracemalloc

from services.ledger.cache import Cache
from services.ledger.store.outcomes import Account

ROOM_BYTES = 4 << 20
BATCH = 500


def meet(cache: Cache, name: str) -> Account:
    """As a batch does: fetched when it is not known, then changed."""
    if cache.missing([name]):
        cache.add({name: Account(1, {})})
    account = cache[name]
    account.version += 1_000
    account.owed["".join(("points", " of ", name[:3]))] = account.version
    return account


def test_stays_within_its_room_however_many_members_come() -> None:
    cache = Cache(ROOM_BYTES)
    tracemalloc.start()
    try:
        highest_bytes = 0
        for start in range(0, 60_000, BATCH):
            for number in range(start, start + BATCH):
                meet(cache, f"member/{number:064}")
            cache.trim()
            highest_bytes = max(highest_bytes, tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    assert ROOM_BYTES / 3 < highest_bytes <= ROOM_BYTES


def test_whoever_comes_again_and_again_is_remembered() -> None:
    cache = Cache(ROOM_BYTES)
    regular = meet(cache, "member/regular")

    for start in range(0, 30_000, BATCH):
        for number in range(start, start + BATCH):
            meet(cache, f"member/{number}")
        assert meet(cache, "member/regular") is regular
        cache.trim()

    assert cache.missing(["member/0"]) == ["member/0"]
    assert len(cache) * 800 < ROOM_BYTES


def test_forgets_nothing_within_a_batch() -> None:
    cache = Cache(bytes_max=1)

    names = [f"member/{number}" for number in range(10_000)]
    for name in names:
        meet(cache, name)

    assert cache.missing(names) == []
    cache.trim()
    cache.trim()
    meet(cache, "member/0")
    cache.trim()
    assert len(cache) == 1
