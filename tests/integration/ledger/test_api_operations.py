"""What operators do: dead letters, keys, the auditor's reading."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import httpx
import pytest

from services.ledger import api_verification
from services.runtime.auth import Role
from services.runtime.contracts import Contract
from services.runtime.health import Health
from services.runtime.stream import Message
from services.runtime.web import application
from tests.support.asyncs import soon
from tests.support.doors import door_to
from tests.support.keys import bearer
from tests.support.ledger import (
    OPERATOR_KEY,
    Door,
    Ledger,
    a_purchase,
    a_return,
    answered,
    refused,
)
from tests.support.outage import Outage

RUBBISH = b'{"specversion": "1.0", "type": "stampbook.purchase", "shop": "364"}'


async def letters(door: Door, count: int = 1) -> list[dict[str, object]]:
    found = await soon(
        lambda: door.http.get("/v1/dead-letters"),
        lambda answer: len(answer.json()["items"]) == count,
    )
    items: list[dict[str, object]] = answered(found, "answers/dead-letters")["items"]
    return items


async def test_what_could_not_be_read_is_shown_with_reason_and_bytes(ledger: Ledger) -> None:
    door = ledger.door()
    ledger.producer.append("intake", [Message("1130", RUBBISH, (("from", b"till 3"),))])

    [brief] = await letters(door)
    whole = answered(await door.http.get(f"/v1/dead-letters/{brief['id']}"), "answers/dead-letter")

    assert brief["code"] == "invalid"
    assert (brief["topic"], brief["key"], brief["state"]) == ("intake", "1130", "parked")
    assert b64decode(whole["value"]) == RUBBISH
    assert whole["text"] == RUBBISH.decode()
    assert whole["headers"] == [{"name": "from", "value": "dGlsbCAz"}]
    assert {"pointer": "/data", "code": "missing", "detail": "is missing"} in whole["errors"]


async def test_bytes_that_are_no_text_are_shown_as_bytes_only(ledger: Ledger) -> None:
    door = ledger.door()
    ledger.producer.append("intake", [Message("1130", b"\xff\x00")])

    [brief] = await letters(door)
    whole = await door.get(f"/dead-letters/{brief['id']}")

    assert "text" not in whole
    assert b64decode(whole["value"]) == b"\xff\x00"


async def test_a_letter_sent_again_is_the_same_message(ledger: Ledger) -> None:
    door = ledger.door()
    euros = json.dumps(
        {
            "specversion": "1.0",
            "type": "stampbook.purchase",
            "source": "grocer",
            "id": "p-2",
            "data": a_purchase(currency="EUR"),
        }
    ).encode()
    ledger.producer.append("intake", [Message("1130", euros)])
    [letter] = await letters(door)

    ledger.currencies.add("EUR")
    retried = await door.http.post(f"/v1/dead-letters/{letter['id']}/retry")

    assert answered(retried, "answers/dead-letter")["state"] == "retried"
    await soon(lambda: door.http.get("/v1/purchases/p-2"), lambda answer: answer.status_code == 200)
    assert await letters(door, 0) == []
    assert len((await door.get("/dead-letters", state="retried"))["items"]) == 1


async def test_a_letter_is_dropped_with_a_reason_and_stays(ledger: Ledger) -> None:
    door = ledger.door()
    ledger.producer.append("intake", [Message("1130", RUBBISH)])
    [letter] = await letters(door)
    path = f"/v1/dead-letters/{letter['id']}/drop"

    no_reason = await door.http.post(path, json={})
    dropped = await door.http.post(path, json={"reason": "a test of the till's maker"})

    refused(no_reason, 422, "invalid")
    assert answered(dropped, "answers/dead-letter")["state"] == "dropped"
    assert await letters(door, 0) == []
    [kept] = (await door.get("/dead-letters", state="dropped"))["items"]
    assert kept["reason"] == "a test of the till's maker"


async def test_letters_and_waiting_returns_come_in_pages(ledger: Ledger) -> None:
    door = ledger.door()
    ledger.producer.append("intake", [Message(f"{n}", RUBBISH) for n in range(5)])
    whole = await letters(door, 5)
    for number in range(5):
        await door.put(f"/purchases/p-{number}/returns/r-1", a_return(), wait_s=10)
    await ledger.door("baker").put("/purchases/p-1/returns/r-1", a_return(), wait_s=10)

    first = await door.get("/dead-letters", limit=3)
    second = await door.get("/dead-letters", limit=3, after=first["next"])
    some = await door.get("/dead-letters", waiting="true", limit=4)
    rest = await door.get("/dead-letters", waiting="true", limit=4, after=some["next"])

    assert first["items"] + second["items"] == whole
    assert second["next"] is None
    waiting = [(each["merchant"], each["id"]) for each in (*some["items"], *rest["items"])]
    assert len(set(waiting)) == 6
    assert rest["next"] is None


async def test_letters_are_the_operators_and_the_auditor_may_look(ledger: Ledger) -> None:
    nothing = uuid5(NAMESPACE_URL, "nothing")
    auditor, merchant = ledger.door_of(Role.AUDITOR, None), ledger.door_of(Role.MERCHANT)

    refused(await merchant.http.get("/v1/dead-letters"), 403, "role-not-allowed")
    assert (await auditor.get("/dead-letters"))["items"] == []
    for action in ("retry", "drop"):
        response = await auditor.http.post(f"/v1/dead-letters/{nothing}/{action}", json={})
        refused(response, 403, "role-not-allowed")
    unknown = await ledger.door().http.post(f"/v1/dead-letters/{nothing}/retry")
    refused(unknown, 404, "unknown-dead-letter")


async def test_a_key_is_shown_once_and_opens_the_doors_of_its_role(ledger: Ledger) -> None:
    door = ledger.door()

    response = await door.http.post(
        "/v1/keys", json={"role": "till", "merchant": "grocer", "name": "Till 3"}
    )
    made = answered(response, "answers/key", 201)
    till = Door(door_to(ledger.app, **bearer(made["key"])))

    assert (made["role"], made["merchant"], made["name"]) == ("till", "grocer", "Till 3")
    whose = answered(await till.http.get("/v1/keys/self"), "answers/principal")
    assert whose == {
        "role": "till",
        "merchant": "grocer",
        "key_id": made["id"],
        "name": made["name"],
    }
    assert (await till.buy()).status_code == 200
    listed = answered(await door.http.get("/v1/keys"), "answers/keys")["items"]
    assert listed == [{name: made[name] for name in made if name != "key"}]
    refused(await till.http.get("/v1/keys"), 403, "role-not-allowed")


async def test_a_revoked_key_is_out_of_force_at_once(ledger: Ledger) -> None:
    door = ledger.door()
    till = ledger.door_of(Role.TILL)
    key_id = (await till.get("/keys/self"))["key_id"]

    first = await door.http.delete(f"/v1/keys/{key_id}")
    second = await door.http.delete(f"/v1/keys/{key_id}")

    assert first.status_code == second.status_code == 204
    refused(await till.http.get("/v1/keys/self"), 401, "key-unknown")
    [listed] = (await door.get("/keys"))["items"]
    assert "revoked_at" in listed
    refused(await door.http.delete("/v1/keys/nothing"), 404, "unknown-key")


async def test_a_key_revoked_elsewhere_ends_within_seconds(ledger: Ledger) -> None:
    till = ledger.door_of(Role.TILL)
    key_id = (await till.get("/keys/self"))["key_id"]
    with ledger.database.write() as connection:
        connection.execute("UPDATE keys SET revoked_at = 1 WHERE key_id = :id", {"id": key_id})

    ledger.ahead += timedelta(seconds=6)

    refused(await till.http.get("/v1/keys/self"), 401, "key-unknown")


async def test_keys_come_in_pages_and_belong_to_whom_their_role_says(ledger: Ledger) -> None:
    door = ledger.door()
    for number in range(3):
        await door.http.post("/v1/keys", json={"role": "auditor", "merchant": f"m-{number}"})

    first = await door.get("/keys", limit=2)
    second = await door.get("/keys", limit=2, after=first["next"])

    keys = first["items"] + second["items"]
    assert len({key["id"] for key in keys}) == 3
    assert second["next"] is None
    assert not any("merchant" in key for key in keys)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({"role": "till"}, "/merchant"), ({"role": "king"}, "/role"), ({}, "/role")],
)
async def test_a_bad_key_is_not_made(
    idle_ledger: Ledger, body: dict[str, str], pointer: str
) -> None:
    response = await idle_ledger.door().http.post("/v1/keys", json=body)

    [error] = refused(response, 422, "invalid")["errors"]
    assert error["pointer"] == pointer


async def test_the_operators_own_key_needs_no_table(idle_ledger: Ledger) -> None:
    found = await idle_ledger.door().get("/keys/self")

    assert found == {"role": "operator", "merchant": None, "key_id": "operator", "name": None}


async def test_the_auditors_reading_tells_how_far_it_is_and_what_it_found(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy("p-1")
    await door.buy("p-2")
    auditor = ledger.door_of(Role.AUDITOR, None)

    sound = (await auditor.http.get("/v1/verification")).content.splitlines()
    with ledger.database.write() as connection:
        connection.execute("UPDATE events SET event = :event WHERE position = 2", {"event": b"{}"})
    damaged = (await auditor.http.get("/v1/verification")).content.splitlines()

    assert [json.loads(line) for line in sound] == [
        {"checked": 2, "of": 2},
        {"ok": True, "events": 2},
    ]
    verdict = json.loads(damaged[-1])
    assert (verdict["ok"], verdict["position"], verdict["fault"]) == (False, 2, "hash")
    till = ledger.door_of(Role.TILL)
    refused(await till.http.get("/v1/verification"), 403, "role-not-allowed")


def lines_of(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.content.splitlines()]


async def test_a_view_is_rebuilt_compared_and_put_in_place(ledger: Ledger) -> None:
    door = ledger.door(None)
    await ledger.door().buy("p-1")
    ledger.award(50)
    await soon(lambda: ledger.door().balance(), lambda points: points == 50)
    with ledger.database.write() as connection:
        connection.execute("UPDATE lots SET points_left = 49")

    auditor = ledger.door_of(Role.AUDITOR, None)
    *_, compared = lines_of(await auditor.http.get("/v1/views/balances/comparison"))
    *_, switched = lines_of(await door.http.post("/v1/views/balances/switch"))
    progress, again = lines_of(await door.http.get("/v1/views/balances/comparison"))

    assert Contract.of("answers/comparison").errors(compared) == []
    [difference] = compared["shown"]
    assert (difference["member"], difference["position"]) == ("1130", 2)
    assert (difference["kept"], difference["rebuilt"]) == ("points_left 49", "points_left 50")
    assert switched["is_switched"]
    assert (progress, again["differences"]) == ({"checked": 2, "of": 2}, 0)
    assert await ledger.door().balance() == 50


async def test_who_may_rebuild_what(idle_ledger: Ledger) -> None:
    operator = idle_ledger.door(None)
    auditor = idle_ledger.door_of(Role.AUDITOR, None)

    refused(await auditor.http.post("/v1/views/balances/switch"), 403, "role-not-allowed")
    refused(await operator.http.get("/v1/views/weather/comparison"), 404, "unknown-view")


async def test_the_log_is_read_again_for_one_at_a_time(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy("p-1")
    outage = Outage(ledger.database)
    app = application("test", "0", [api_verification.routes(outage, ledger.keys)], health=Health())
    auditor = door_to(app, **bearer(OPERATOR_KEY))
    outage.let_go.clear()
    first = asyncio.create_task(auditor.get("/v1/verification"))
    await soon(lambda: _told(outage.asked), lambda asked: asked > 0)

    second = await auditor.get("/v1/verification")
    outage.let_go.set()

    refused(second, 409, "already-reading")
    assert lines_of(await first)[-1] == {"ok": True, "events": 1}
    assert lines_of(await auditor.get("/v1/verification"))[-1]["ok"]


async def _told(value: int) -> int:
    return value
