"""Purchases for the benchmarks that need many: of three lines, from a few thousand members."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from services.runtime.stream import Message

MEMBERS = 5_000
AT = "2026-05-01T12:30:27-04:00"


def purchases(count: int, *, prefix: str, seed: int = 1) -> Iterator[Message]:
    """Commands as a shop writes them onto ``intake``."""
    chance = random.Random(seed)
    for number in range(count):
        member = str(chance.randrange(MEMBERS))
        data = {
            "member": member,
            "shop": "364",
            "purchased_at": AT,
            "currency": "USD",
            "lines": [
                {
                    "line": str(line),
                    "sku": str(chance.randrange(100_000)),
                    "categories": ["PRODUCE", "BANANAS"],
                    "quantity": 2,
                    "amount_minor": chance.randrange(400, 2_000),  # each earns something
                }
                for line in (1, 2, 3)
            ],
        }
        envelope = {
            "specversion": "1.0",
            "type": "stampbook.purchase",
            "source": "grocer",
            "id": f"{prefix}-{number}",
            "data": data,
        }
        yield Message(member, msgspec.json.encode(envelope))
