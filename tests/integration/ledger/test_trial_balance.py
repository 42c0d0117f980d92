"""The trial balance at any two times, against the whole log added up by hand."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings

from services.ledger.views.story import Moment
from services.ledger.views.trial_balance import counted, trial_balance
from services.runtime.auth import Role
from services.runtime.clock import parse_rfc3339, rfc3339
from services.runtime.database import Database
from tests.support.asyncs import soon
from tests.support.desk import START, Desk
from tests.support.ledger import Ledger, answered, refused
from tests.support.story import MOMENTS, STEPS, told


def by_hand(desk: Desk, *, at: datetime, known_at: datetime) -> dict[str, int]:
    """From the raw events; knows nothing of postings."""
    sums: Counter[str] = Counter()
    with desk.database.read() as connection:
        log = connection.rows("SELECT event FROM events ORDER BY position")
    for (raw,) in log:
        event = json.loads(bytes(raw))
        recorded_at = parse_rfc3339(event["recordedat"])
        happened_at = min(parse_rfc3339(event["time"]), recorded_at)
        if recorded_at < known_at and happened_at < at:
            _note(sums, event["type"].split(".")[2], event["data"])
    return {account: points for account, points in sums.items() if points}


def _note(sums: Counter[str], name: str, data: dict[str, Any]) -> None:  # noqa: C901
    points, owed = data["points"], data.get("owed", 0)
    match name:
        case "earned":
            sums["available"] += points
            sums["issued"] -= points
        case "redeemed":
            sums["available"] -= points
            sums["redeemed"] += points
        case "restored":
            sums["available"] += points
            sums["redeemed"] -= points
        case "taken-back":
            sums["available"] -= points - owed
            sums["owed"] -= owed
            sums["reversed"] += points
        case "repaid":
            sums["available"] -= points
            sums["owed"] += points
        case "granted":
            sums["available"] += points
            sums["adjusted"] -= points
        case "withdrawn":
            sums["available"] -= points
            sums["adjusted"] += points
        case "expired":
            sums["available"] -= points
            sums["expired"] += points
        case _:
            raise AssertionError(name)


def shown(database: Database, moment: Moment, *, now: datetime) -> dict[str, int]:
    with database.read() as connection:
        units = trial_balance(connection, moment, now=now)
    accounts: Any = [line for unit in units for line in unit["accounts"]]  # type: ignore[attr-defined]
    assert all(unit["sum"] == 0 for unit in units)
    return {line["account"]: line["points"] for line in accounts if line["points"]}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS, MOMENTS)
@example(
    [("award", 50, -3, 400, "grocer"), ("wait", 48, False)],
    [(timedelta(hours=-48), timedelta(hours=6))],
)
@example(
    [("award", 50, -72, 400, "grocer"), ("wait", 48, False), ("take back", 20, 1, -60)],
    [(timedelta(hours=-12), timedelta(hours=24)), (timedelta(hours=-12), timedelta(hours=72))],
)
def test_is_what_had_happened_as_far_as_was_known(
    steps: list[tuple[Any, ...]], moments: list[tuple[timedelta, timedelta]]
) -> None:
    with told(steps) as desk:
        now = desk.now
        for a, b in [*moments, (timedelta(seconds=59), timedelta(days=90))]:
            at, known_at = (counted(START + after, now=now) for after in (a, b))

            expected = by_hand(
                desk,
                at=at if at < now else datetime.max.replace(tzinfo=at.tzinfo),
                known_at=known_at if known_at < now else datetime.max.replace(tzinfo=at.tzinfo),
            )

            assert shown(desk.database, Moment(at, known_at), now=now) == expected, (at, known_at)


async def test_the_chart_of_accounts_sums_to_zero_at_any_date(ledger: Ledger) -> None:
    door = ledger.door()
    ledger.award(100, expires_at=rfc3339(ledger.clock() + timedelta(days=9)))
    await door.until_known()
    await door.redeem("s-1", 30)
    yesterday = rfc3339(ledger.clock() - timedelta(hours=2))

    now = answered(await door.http.get("/v1/trial-balance"), "answers/trial-balance")
    then = answered(
        await door.http.get("/v1/trial-balance", params={"at": yesterday}), "answers/trial-balance"
    )
    before_we_knew = await door.get("/trial-balance", known_at=yesterday)

    [points] = now["units"]
    assert {line["account"]: line["points"] for line in points["accounts"] if line["points"]} == {
        "available": 70,
        "issued": -100,
        "redeemed": 30,
    }
    assert points["sum"] == 0
    assert {line["account"] for line in points["accounts"]} >= {"owed", "expired", "reversed"}
    assert [line["points"] for line in then["units"][0]["accounts"] if line["points"]] == [
        100,
        -100,
    ]
    assert before_we_knew["units"] == []


async def test_an_instant_counts_from_the_beginning_of_its_minute(ledger: Ledger) -> None:
    door = ledger.door()

    found = await door.get("/trial-balance", at="2026-05-01T12:00:59Z")

    assert found["at"] == "2026-05-01T12:00:00Z"


async def test_is_the_operators_and_the_auditors(ledger: Ledger) -> None:
    merchant, auditor = ledger.door_of(Role.MERCHANT), ledger.door_of(Role.AUDITOR, None)

    refused(await merchant.http.get("/v1/trial-balance"), 403, "role-not-allowed")
    await soon(lambda: auditor.http.get("/v1/trial-balance"), lambda answer: answer.is_success)
