"""A redemption over REST with its answer, as a till waits for it, on the full installation.

Asked straight at the ledger's API: the tests' stand-in for the proxy is a Python process.
"""

from __future__ import annotations

import asyncio
import statistics
import time

import aiohttp

from tests.bench.figures import Figure
from tests.support.eventually import eventually
from tests.support.installation import MERCHANT, Installation

PER_S = 100
SECONDS = 20
MEMBERS = 50
WARM_UP = 200


def measure(full: Installation) -> list[Figure]:
    """Open loop: each is sent when it is due, whether earlier ones are answered or not."""
    _give_points(full)
    latencies_ms = asyncio.run(_redeem(full))[WARM_UP:]
    cuts = statistics.quantiles(latencies_ms, n=100)
    note = f"{PER_S}/s for {SECONDS} s, from when it was due to its 200"
    return [
        Figure("redemption_p50_ms", round(cuts[49], 1), "ms", note=note),
        Figure("redemption_p99_ms", round(cuts[98], 1), "ms", note=note),
    ]


def _give_points(full: Installation) -> None:
    line = {"line": "1", "sku": "gold", "quantity": 1, "amount_minor": 100_000_000}
    with full.client() as client:
        for number in range(MEMBERS):
            purchase = {
                "member": f"till-{number}",
                "purchased_at": "2026-11-01T12:00:00Z",
                "currency": "USD",
                "lines": [line],
            }
            client.put(f"/v1/purchases/till-{number}", json=purchase).raise_for_status()
        last = f"/v1/members/till-{MEMBERS - 1}/balances"
        eventually(lambda: _available(client.get(last).json()) > 0)


def _available(found: dict[str, object]) -> int:
    balances = found.get("balances")
    assert balances is None or isinstance(balances, list)
    return sum(balance["available"] for balance in balances or [])


async def _redeem(full: Installation) -> list[float]:
    headers = {"Authorization": f"Bearer {full.key}", "Stampbook-Merchant": MERCHANT}
    began_s = time.perf_counter() + 0.5
    place = full.places["ledger-api"]
    async with aiohttp.ClientSession(place, headers=headers) as session:

        async def redeem(number: int) -> float:
            due_s = began_s + number / PER_S
            await asyncio.sleep(due_s - time.perf_counter())
            content = {"member": f"till-{number % MEMBERS}", "unit": "points", "points": 1}
            path = f"/v1/redemptions/bench-{time.time_ns()}-{number}"
            async with session.put(path, json=content) as answer:
                assert answer.status == 200, await answer.text()
            return (time.perf_counter() - due_s) * 1_000

        return await asyncio.gather(*(redeem(number) for number in range(PER_S * SECONDS)))
