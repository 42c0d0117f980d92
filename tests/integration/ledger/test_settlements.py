"""What merchants owe one another, against the log added up by somebody who trusts nothing else."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings

from services.ledger.views.settlements import FIRST, Asked, settlements
from services.runtime.auth import Role
from services.runtime.clock import rfc3339
from services.runtime.database import Database
from tests.support.asyncs import soon
from tests.support.desk import Desk
from tests.support.ledger import Door, Ledger, answered, refused
from tests.support.story import STEPS, told

Key = tuple[str, str, str, str]  # month recorded, month concerned, issuer, redeemer


def by_hand(desk: Desk) -> dict[Key, Counter[str]]:
    """From the raw events; who issued a lot is what the event says that earned it."""
    issuers: dict[str, str] = {}
    redeemed_in: dict[tuple[str, str], str] = {}
    sums: defaultdict[Key, Counter[str]] = defaultdict(Counter)
    with desk.database.read() as connection:
        log = [json.loads(bytes(raw)) for (raw,) in connection.rows("SELECT event FROM events")]
    for event in sorted(log, key=lambda event: event["position"]):
        data, merchant, month = event["data"], event["merchant"], event["recordedat"][:7]
        match event["type"].split(".")[2]:
            case "granted":
                issuers[data["lot"]] = merchant
            case "earned":
                issuers[data["lot"]] = merchant
                concerned = min(event["time"][:7], month)
                sums[month, concerned, merchant, merchant]["issued"] += data["points"]
            case "redeemed":
                redeemed_in[merchant, data["redemption"]] = month
                for part in data["lots"]:
                    key = (month, month, issuers[part["lot"]], merchant)
                    sums[key]["redeemed"] += part["points"]
            case "restored":
                concerned = redeemed_in[merchant, data["redemption"]]
                for part in data["lots"]:
                    key = (month, concerned, issuers[part["lot"]], merchant)
                    sums[key]["reversed"] += part["points"]
            case _:
                pass  # nobody owes another merchant for it
    return dict(sums)


def shown(database: Database, months: set[str]) -> dict[Key, Counter[str]]:
    sums: dict[Key, Counter[str]] = {}
    for month in months:
        with database.read() as connection:
            lines, _ = settlements(connection, Asked(month, None, None), after=FIRST, limit=1_000)
        line: Any
        for line in lines:
            pair = (line["issuer"], line["redeemer"])
            own = Counter({name: line[name] for name in ("issued", "redeemed", "reversed")})
            for correction in line["corrections"]:
                is_owed = (
                    correction["redeemed"] - correction["reversed"] if len(set(pair)) > 1 else 0
                )
                assert correction["owed"] == is_owed
                old = Counter({name: correction[name] for name in own})
                sums[month, correction["month"], *pair] = old
                own.subtract(old)
            sums[month, month, *pair] = own
    return {key: +sums[key] for key in sums if +sums[key]}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
@example(
    [
        ("award", 50, -250, 40_000, "baker"),
        ("award for ever", 50, 0, "grocer"),
        ("redeem", 60, "grocer"),
        ("wait", 200, False),
        *[("wait", 200, False)] * 4,
        ("reverse", 1),
    ]
)
def test_a_settlement_reconciles_to_the_log(steps: list[tuple[Any, ...]]) -> None:
    with told(steps) as desk:
        expected = by_hand(desk)

        assert shown(desk.database, {key[0] for key in expected}) == expected


async def two_merchants(ledger: Ledger) -> Door:
    """The baker takes 30 of the grocer's points and 5 of its own, and gives 10 back."""
    door = ledger.door("baker")
    ledger.award(30, purchase="p-1", expires_at=rfc3339(ledger.clock() + timedelta(days=9)))
    ledger.award(20, purchase="p-2", merchant="baker", expires_at=None)
    await soon(lambda: door.get("/events", limit=1000), lambda page: len(page["items"]) == 2)
    await door.redeem("s-1", 35)
    await door.put("/redemptions/s-1/reversal", {"points": 10}, wait_s=10)
    return door


async def test_who_issued_owes_who_was_paid_with_it(ledger: Ledger) -> None:
    month = rfc3339(ledger.clock())[:7]
    door = await two_merchants(ledger)

    found = answered(await door.http.get(f"/v1/settlements/{month}"), "answers/settlements")

    lines = {(line["issuer"], line["redeemer"]): line for line in found["items"]}
    assert (found["month"], found["is_over"], found["next"]) == (month, False, None)
    assert {
        pair: (line["redeemed"], line["reversed"], line["owed"]) for pair, line in lines.items()
    } == {
        ("grocer", "grocer"): (0, 0, 0),
        ("grocer", "baker"): (30, 5, 25),
        ("baker", "baker"): (5, 5, 0),
    }
    assert lines["grocer", "grocer"]["issued"] == 30
    assert lines["baker", "baker"]["issued"] == 20


async def test_a_merchant_sees_its_own_pairs_and_not_what_others_issue(ledger: Ledger) -> None:
    month = rfc3339(ledger.clock())[:7]
    await two_merchants(ledger)
    florist, baker = (
        ledger.door_of(Role.MERCHANT, "florist"),
        ledger.door_of(Role.MERCHANT, "baker"),
    )
    till = ledger.door_of(Role.TILL, "baker")

    seen = answered(await baker.http.get(f"/v1/settlements/{month}"), "answers/settlements")

    assert [(line["issuer"], line["redeemer"]) for line in seen["items"]] == [
        ("baker", "baker"),
        ("grocer", "baker"),
    ]
    assert [line.get("issued") for line in seen["items"]] == [20, None]
    assert (await florist.get(f"/settlements/{month}"))["items"] == []
    refused(await till.http.get(f"/v1/settlements/{month}"), 403, "role-not-allowed")


async def test_settlements_come_in_pages(ledger: Ledger) -> None:
    month = rfc3339(ledger.clock())[:7]
    door = await two_merchants(ledger)
    whole = (await door.get(f"/settlements/{month}"))["items"]

    paged: list[Any] = []
    after: dict[str, str] = {}
    while True:
        page = await door.get(f"/settlements/{month}", limit=1, **after)
        paged += page["items"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}

    assert paged == whole
    assert len(whole) == 3
    refused(
        await door.http.get(f"/v1/settlements/{month}", params={"after": "x"}),
        422,
        "invalid-parameter",
    )


async def test_a_settlement_as_it_was_known_earlier_or_of_another_month(ledger: Ledger) -> None:
    now = ledger.clock()
    door = await two_merchants(ledger)
    before, later = rfc3339(now - timedelta(minutes=2)), now + timedelta(days=40)

    early = await door.get(f"/settlements/{rfc3339(now)[:7]}", known_at=before)
    nothing = await door.get(f"/settlements/{rfc3339(later)[:7]}")
    ledger.ahead = timedelta(days=40)
    over = await door.get(f"/settlements/{rfc3339(now)[:7]}", known_at=rfc3339(later))

    assert early["items"] == []
    assert nothing["items"] == []
    assert over["is_over"]
    assert len(over["items"]) == 3
    refused(await door.http.get("/v1/settlements/2026-13"), 422, "invalid-parameter")
