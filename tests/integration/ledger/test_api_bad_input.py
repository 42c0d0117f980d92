"""What the doors refuse: one problem naming every bad field, and nothing is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from services.runtime.clock import rfc3339
from tests.support.ledger import Ledger, a_purchase, a_return, refused


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def a_line(**changes: object) -> dict[str, object]:
    return {"line": "1", "sku": "milk", "quantity": 2, "amount_minor": 5_000, **changes}


BAD_PURCHASES: list[tuple[dict[str, Any], str, str]] = [
    ({"colour": "red"}, "/colour", "unknown-field"),
    ({"currency": None}, "/currency", "missing"),
    ({"currency": "EUR"}, "/currency", "not-accepted"),
    ({"currency": "usd"}, "/currency", "malformed"),
    ({"member": 1130}, "/member", "wrong-type"),
    ({"member": "jane@example.org"}, "/member", "malformed"),
    ({"lines": []}, "/lines", "too-short"),
    ({"lines": [a_line(amount_minor=-1)]}, "/lines/0/amount_minor", "out-of-range"),
    ({"lines": [a_line(amount_minor=10**15 + 1)]}, "/lines/0/amount_minor", "out-of-range"),
    ({"lines": [a_line(amount_minor=10**40)]}, "/lines/0/amount_minor", "out-of-range"),
    ({"lines": [a_line(amount_minor=0.5)]}, "/lines/0/amount_minor", "wrong-type"),
    ({"lines": [a_line(quantity="2")]}, "/lines/0/quantity", "wrong-type"),
    ({"lines": [a_line(), a_line()]}, "/lines/1/line", "repeated"),
    ({"lines": [a_line(line=f"{n}") for n in range(1_001)]}, "/lines", "too-many"),
    ({"purchased_at": "2017-01-01T12:30:27"}, "/purchased_at", "malformed"),
    ({"purchased_at": "2017-02-29T12:30:27Z"}, "/purchased_at", "malformed"),
    ({"purchased_at": "1969-12-31T23:59:59Z"}, "/purchased_at", "out-of-range"),
    ({"purchased_at": "8999-01-01T00:00:00Z"}, "/purchased_at", "out-of-range"),
]


@pytest.mark.parametrize(("changes", "pointer", "code"), BAD_PURCHASES)
async def test_a_bad_purchase_is_refused_at_its_field(
    idle_ledger: Ledger, changes: dict[str, Any], pointer: str, code: str
) -> None:
    door = idle_ledger.door()

    response = await door.put("/purchases/p-1", a_purchase(**changes), wait_s=10)

    [error] = refused(response, 422, "invalid")["errors"]
    assert (error["pointer"], error["code"]) == (pointer, code)
    refused(await door.http.get("/v1/purchases/p-1"), 404, "unknown-purchase")


async def test_every_bad_field_is_named_at_once(idle_ledger: Ledger) -> None:
    purchase = a_purchase(currency=None, colour="red", lines=[a_line(quantity=-1), a_line(sku="")])

    response = await idle_ledger.door().put("/purchases/p-1", purchase)

    errors = refused(response, 422, "invalid")["errors"]
    assert {(error["pointer"], error["code"]) for error in errors} == {
        ("/currency", "missing"),
        ("/colour", "unknown-field"),
        ("/lines/0/quantity", "out-of-range"),
        ("/lines/1/sku", "too-short"),
    }


async def test_a_purchase_may_be_dated_a_day_ahead_and_no_more(ledger: Ledger) -> None:
    door, now = ledger.door(), ledger.clock()
    hours = now.resolution * 3_600_000_000

    near = await door.buy("p-1", purchased_at=rfc3339(now + 23 * hours))
    far = await door.buy("p-2", purchased_at=rfc3339(now + 25 * hours))

    assert near.status_code == 200
    refused(far, 422, "invalid")


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"lines": [{"line": "1", "quantity": 1, "amount_minor": 1}]}, "/returned_at", "missing"),
        ({**a_return(), "returned_at": "yesterday"}, "/returned_at", "malformed"),
        ({**a_return(), "lines": a_return()["lines"] * 2}, "/lines/1/line", "repeated"),
        ({**a_return(), "currency": "USD"}, "/currency", "unknown-field"),
    ],
)
async def test_a_bad_return_is_refused_at_its_field(
    idle_ledger: Ledger, body: dict[str, Any], pointer: str, code: str
) -> None:
    response = await idle_ledger.door().put("/purchases/p-1/returns/r-1", body, wait_s=10)

    found = [(e["pointer"], e["code"]) for e in refused(response, 422, "invalid")["errors"]]
    assert (pointer, code) in found


@pytest.mark.parametrize("points", [0, -1, 10**15 + 1, 1.5, "10", None])
async def test_points_are_whole_and_more_than_none(idle_ledger: Ledger, points: object) -> None:
    body = {"member": "1130", "unit": "points", "points": points}

    response = await idle_ledger.door().put("/redemptions/s-1", body)

    [error] = refused(response, 422, "invalid")["errors"]
    assert error["pointer"] == "/points"


@pytest.mark.parametrize("id_", ["a@b", "-a", "a" * 65, "a b", "é", "a\n"])
@pytest.mark.parametrize(
    "path",
    ["purchases/{}", "redemptions/{}", "purchases/p-1/returns/{}", "redemptions/{}/reversal"],
)
async def test_an_id_outside_the_alphabet_is_refused(
    idle_ledger: Ledger, path: str, id_: str
) -> None:
    http = idle_ledger.door().http

    response = await http.put("/v1/" + path.format(quote(id_)), json=a_purchase())

    [error] = refused(response, 422, "invalid-parameter")["errors"]
    assert error["parameter"].endswith("_id")
    assert error["code"] == "malformed"


@pytest.mark.parametrize("raw", [b"", b"{", b"nothing", b"\xff", b"[" * 100_000, b'{"a":1}{}'])
async def test_what_is_not_json_is_refused(idle_ledger: Ledger, raw: bytes) -> None:
    headers = {"Content-Type": "application/json"}

    response = await idle_ledger.door().http.put("/v1/purchases/p-1", content=raw, headers=headers)

    refused(response, 400, "not-json")


@pytest.mark.parametrize("raw", [b"[]", b"1", b'"purchase"', b"null"])
async def test_json_that_is_no_object_is_refused(idle_ledger: Ledger, raw: bytes) -> None:
    headers = {"Content-Type": "application/json"}

    response = await idle_ledger.door().http.put("/v1/purchases/p-1", content=raw, headers=headers)

    refused(response, 422, "invalid")


async def test_a_body_has_bounds_and_a_type(idle_ledger: Ledger) -> None:
    http = idle_ledger.door().http
    large = a_purchase(attributes={f"a{n}": "x" * 1_000 for n in range(1_100)})

    too_large = await http.put("/v1/purchases/p-1", json=large)
    no_type = await http.put("/v1/purchases/p-1", content=b"{}")
    other_type = await http.put("/v1/purchases/p-1", data={"a": "b"})

    refused(too_large, 413, "too-large")
    refused(no_type, 415, "unsupported-media-type")
    refused(other_type, 415, "unsupported-media-type")


async def test_the_largest_purchase_is_taken(ledger: Ledger) -> None:
    lines = [a_line(line=f"{n}", sku="x" * 128, categories=["y" * 128] * 4) for n in range(1_000)]

    response = await ledger.door().buy(lines=lines)

    assert response.json()["outcome"] == "recorded"


async def test_without_a_key_nobody_comes_in(idle_ledger: Ledger) -> None:
    http = idle_ledger.door().http

    missing = await http.get("/v1/members/1130/balances", headers={"Authorization": ""})
    unknown = await http.get("/v1/members/1130/balances", headers={"Authorization": "Bearer no"})

    refused(missing, 401, "key-missing")
    refused(unknown, 401, "key-unknown")


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/members/1130/balances?at=yesterday", "at"),
        ("/members/1130/balances?known_at=2017-01-01", "known_at"),
        ("/members/11@30/balances", "member"),
        ("/members/1130/entries?limit=0", "limit"),
        ("/members/1130/entries?limit=1001", "limit"),
        ("/members/1130/entries?after=-1", "after"),
        ("/members/1130/entries?after=x", "after"),
        ("/members/1130/entries?after=99999999999999999999", "after"),
        ("/members/1130/entries?unit=POINTS", "unit"),
        ("/members/1130/lots?after=%C2%B2", "after"),
        ("/entries/nothing/why", "entry_id"),
        ("/events?after=-1", "after"),
        ("/events?after=99999999999999999", "after"),
        ("/events?type=%25", "type"),
        ("/events?member=a%2Fb", "member"),
        ("/outcomes/gift/1", "command_type"),
        ("/outcomes/return/a/b/c", "command_id"),
        ("/dead-letters?after=x", "after"),
        ("/dead-letters?waiting=true&after=x", "after"),
        ("/dead-letters?state=lost", "state"),
        ("/dead-letters/1", "letter_id"),
    ],
)
async def test_a_bad_parameter_is_named(idle_ledger: Ledger, path: str, parameter: str) -> None:
    response = await idle_ledger.door().http.get(f"/v1{path}")

    [error] = refused(response, 422, "invalid-parameter")["errors"]
    assert error["parameter"] == parameter
