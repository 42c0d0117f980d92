"""Many commands at once: a line for each line, in the same order, whatever the others are."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.ledger import api_batches
from services.runtime.auth import Role
from services.runtime.contracts import Contract
from services.runtime.web import NDJSON
from tests.support.ledger import Door, Ledger, a_purchase, a_return, refused


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def line(type_: str, id_: object, body: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"type": type_, "id": id_, **body, **more}


def redemption(id_: str, points: int, **more: object) -> dict[str, Any]:
    return line("redemption", id_, {"member": "1130", "unit": "points", "points": points}, **more)


async def send(door: Door, raw: bytes, **headers: str) -> httpx.Response:
    return await door.http.post(
        "/v1/batches", content=raw, headers={"Content-Type": NDJSON, **headers}
    )


async def batch(door: Door, *lines: object, prefer: str = "wait=10") -> list[dict[str, Any]]:
    """The answers, each held against its contract."""
    raw = b"\n".join(
        each if isinstance(each, bytes) else json.dumps(each).encode() for each in lines
    )
    response = await send(door, raw, Prefer=prefer)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == NDJSON
    answers = [json.loads(each) for each in response.content.splitlines()]
    for answer in answers:
        contract = "problem" if "status" in answer else "outcome"
        assert Contract.of(contract).errors(answer) == []
    return answers


async def test_each_line_is_answered_in_its_place_and_a_bad_one_stops_no_other(
    ledger: Ledger,
) -> None:
    door = ledger.door()

    answers = await batch(
        door,
        line("purchase", "p-1", a_purchase()),
        b"{",
        line("purchase", "p-2", a_purchase(currency="EUR", colour="red")),
        line("return", "p-1/r-1", a_return()),
        line("gift", "g-1", {}),
        line("purchase", "p@3", a_purchase(currency=None)),
        redemption("s-1", 10),
        b'"purchase"',
        line("purchase", "p-4", a_purchase(member=None)),
    )

    said = [(answer.get("outcome"), answer.get("code")) for answer in answers]
    assert said == [
        ("recorded", None),
        (None, "not-json"),
        (None, "invalid"),
        ("recorded", None),
        (None, "invalid"),
        (None, "invalid"),
        ("declined", "not-enough-points"),
        (None, "invalid"),
        ("recorded", None),
    ]
    assert (answers[0]["type"], answers[0]["id"]) == ("purchase", "p-1")
    assert [answers[index]["status"] for index in (1, 2, 4, 5, 7)] == [400, 422, 422, 422, 422]
    assert [(e["pointer"], e["code"]) for e in answers[2]["errors"]] == [
        ("/colour", "unknown-field")
    ]
    assert (answers[2]["command"], answers[2]["id"]) == ("purchase", "p-2")
    assert {e["pointer"] for e in answers[5]["errors"]} == {"/id", "/currency"}
    assert len((await door.get("/events"))["items"]) == 3


async def test_a_return_may_name_its_purchase_in_a_field_of_its_own(ledger: Ledger) -> None:
    answers = await batch(
        ledger.door(),
        line("purchase", "p-1", a_purchase()),
        line("return", "r-1", a_return(), purchase="p-1"),
        line("return", "r-2", a_return(), purchase=1),
        line("return", "r-3", a_return()),
    )

    assert answers[1]["id"] == "p-1/r-1"
    assert answers[1]["outcome"] == "recorded"
    assert [answer["status"] for answer in answers[2:]] == [422, 422]


async def test_a_reversal_in_the_same_batch_follows_its_redemption(ledger: Ledger) -> None:
    door = ledger.door()
    ledger.award(100)
    await door.until_known()

    answers = await batch(door, redemption("s-1", 30), line("reversal", "s-1", {"points": 10}))

    assert [answer["outcome"] for answer in answers] == ["recorded", "recorded"]
    assert await door.balance() == 80


async def test_a_batch_need_not_wait(idle_ledger: Ledger) -> None:
    door = idle_ledger.door()
    purchases = [line("purchase", f"p-{number}", a_purchase()) for number in range(3)]

    at_once = await batch(door, *purchases, prefer="respond-async")
    in_vain = await batch(door, *purchases, prefer="wait=1")
    with idle_ledger.deciding():
        decided = await batch(door, *purchases)

    assert {answer["outcome"] for answer in (*at_once, *in_vain)} == {"accepted"}
    assert at_once[0] == {"type": "purchase", "id": "p-0", "outcome": "accepted", "positions": []}
    assert {answer["outcome"] for answer in decided} == {"recorded"}
    assert len((await door.get("/events"))["items"]) == 3


async def test_lines_recorded_before_say_so_if_asked_to(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy("p-1")
    refused(await door.redeem("s-1", 10), 409, "not-enough-points")
    again = ledger.door(app=ledger.fresh_app())
    lines = [
        line("purchase", "p-1", a_purchase()),
        line("purchase", "p-2", a_purchase()),
        line("purchase", "p-2", a_purchase()),
        redemption("s-1", 10),
    ]

    first = await batch(again, *lines, prefer="wait=10, stampbook-repeats")
    second = await batch(again, *lines, prefer="wait=10, stampbook-repeats")
    unasked = await batch(again, *lines)

    assert ["repeated" in answer for answer in first] == [True, False, True, False]
    assert ["repeated" in answer for answer in second] == [True, True, True, False]
    assert not any("repeated" in answer for answer in unasked)
    assert len((await door.get("/events"))["items"]) == 2


async def test_an_id_used_twice_for_other_content_is_a_problem_of_its_line(ledger: Ledger) -> None:
    door = ledger.door()
    await door.buy("p-1")

    answers = await batch(
        door,
        line("purchase", "p-1", a_purchase(shop="364")),
        line("purchase", "p-2", a_purchase()),
        line("purchase", "p-2", a_purchase(shop="364")),
    )

    assert [answer.get("code") for answer in answers] == ["id-reused", None, "id-reused"]
    assert (answers[0]["status"], answers[0]["id"]) == (409, "p-1")


async def test_a_batch_has_bounds(idle_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    door = idle_ledger.door()
    monkeypatch.setattr(api_batches, "LINES_MAX", 3)
    good = json.dumps(line("purchase", "p-1", a_purchase())).encode()

    assert (await send(door, b"\n".join([good] * 3), Prefer="respond-async")).status_code == 200
    full = await send(door, b"\n".join([good] * 3) + b"\n", Prefer="respond-async")
    assert full.status_code == 200
    refused(await send(door, b"\n".join([good] * 4)), 422, "too-many-lines")
    refused(await send(door, b"\n" * 20_000_000), 413, "too-large")
    refused(await send(door, good, **{"Content-Type": "application/json"}), 415, _TYPE)


_TYPE = "unsupported-media-type"


async def test_a_line_has_bounds(ledger: Ledger) -> None:
    large = line("purchase", "p-1", a_purchase(), attributes={"a": "x" * (1 << 20)})

    answers = await batch(ledger.door(), large, line("purchase", "p-2", a_purchase()))

    assert [answer.get("code") for answer in answers] == ["too-large", None]


async def test_an_empty_batch_and_empty_lines_are_no_lines(ledger: Ledger) -> None:
    door = ledger.door()

    empty = await send(door, b"")
    good = json.dumps(line("purchase", "p-1", a_purchase())).encode()
    gaps = await send(door, b"\n" + good + b"\r\n\n  \n" + good + b"\n")

    assert (empty.status_code, empty.content) == (200, b"")
    assert len(gaps.content.splitlines()) == 2


async def test_rubbish_lines_are_problems_of_theirs(idle_ledger: Ledger) -> None:
    rubbish = [
        *(b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 10_000, b"1e999", b'{"type":[],"id":{}}'),
        *(b'{"type":"return","id":1,"purchase":"p"}', b'{"type":"purchase","id":null}'),
        *(b'{"type":"award","id":"a"}', b'{"type":"purchase","id":"' + b"x" * 1_000 + b'"}'),
    ]

    answers = await batch(idle_ledger.door(), *rubbish, prefer="respond-async")

    assert len(answers) == len(rubbish)
    assert all(answer["status"] in (400, 422) for answer in answers)


async def test_a_batch_is_a_writers_and_of_one_merchant(ledger: Ledger) -> None:
    good = json.dumps(line("purchase", "p-1", a_purchase())).encode()

    refused(await send(ledger.door_of(Role.AUDITOR, None), good), 403, "role-not-allowed")
    refused(await send(ledger.door(None), good), 422, "invalid-parameter")
    [answer] = await batch(ledger.door_of(Role.TILL), redemption("s-1", 1, merchant="baker"))
    assert answer["errors"][0]["pointer"] == "/merchant"


async def test_others_are_served_while_a_large_batch_is_read(idle_ledger: Ledger) -> None:
    door = idle_ledger.door()
    lines = [line("purchase", f"p-{number}", a_purchase()) for number in range(10_000)]
    raw = b"\n".join(json.dumps(each).encode() for each in lines)

    sending = asyncio.create_task(send(door, raw, Prefer="respond-async"))
    served = 0
    while not sending.done():
        assert (await door.http.get("/healthz")).status_code == 200
        await asyncio.sleep(0)
        served += 1

    assert (await sending).content.count(b"accepted") == 10_000
    assert served > 20
