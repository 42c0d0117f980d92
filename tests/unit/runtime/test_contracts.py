"""Documents are held against contracts/, and equal documents leave equal bytes."""

import json
import math
import subprocess
import sys
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.runtime.contracts import Contract, NotJson, canonical, decode, fingerprint

PURCHASE: dict[str, Any] = {
    "member": "1130",
    "purchased_at": "2017-01-01T12:30:27-05:00",
    "currency": "USD",
    "lines": [{"line": "1", "sku": "6602647", "quantity": 2, "amount_minor": 198}],
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def problems_of(value: object, contract: str = "commands/purchase") -> set[tuple[str, str]]:
    errors = Contract.of(contract).errors(value)
    assert all(error["detail"] for error in errors)
    return {(error["pointer"], error["code"]) for error in errors}


def test_a_document_that_keeps_its_contract_has_no_errors() -> None:
    assert Contract.of("commands/purchase").is_valid(PURCHASE)
    assert problems_of(PURCHASE) == set()


def test_every_bad_field_is_named_at_once() -> None:
    bad = {
        "member": "one@example.com",
        "shop": 364,
        "purchased_at": "2017-01-01T12:30:27",
        "currency": "dollars",
        "lines": [
            {"line": "1", "sku": "", "quantity": -1, "amount_minor": 10**16},
            {"line": "2", "sku": "1", "quantity": 1.5, "amount_minor": True, "colour": "red"},
        ],
        "a/b~c": 1,
    }

    assert problems_of(bad) == {
        ("/member", "malformed"),
        ("/shop", "wrong-type"),
        ("/purchased_at", "malformed"),
        ("/currency", "malformed"),
        ("/lines/0/sku", "too-short"),
        ("/lines/0/quantity", "out-of-range"),
        ("/lines/0/amount_minor", "out-of-range"),
        ("/lines/1/quantity", "wrong-type"),
        ("/lines/1/amount_minor", "wrong-type"),
        ("/lines/1/colour", "unknown-field"),
        ("/a~1b~0c", "unknown-field"),
    }


def test_a_missing_field_is_named_where_it_belongs() -> None:
    assert problems_of({"lines": [{"line": "1"}]}) == {
        ("/purchased_at", "missing"),
        ("/currency", "missing"),
        ("/lines/0/sku", "missing"),
        ("/lines/0/quantity", "missing"),
        ("/lines/0/amount_minor", "missing"),
    }


def test_lists_have_bounds_of_their_own_code() -> None:
    line = PURCHASE["lines"][0]

    assert problems_of({**PURCHASE, "lines": []}) == {("/lines", "too-short")}
    assert problems_of({**PURCHASE, "lines": [line] * 1001}) == {("/lines", "too-many")}


def test_a_bad_name_of_an_attribute_is_named_itself() -> None:
    assert problems_of({**PURCHASE, "attributes": {"": 1}}) == {("/attributes/", "too-short")}


def test_a_wrong_document_altogether_is_one_error_at_the_root() -> None:
    assert problems_of([]) == {("", "wrong-type")}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"kind": "card", "number": 7}, {("/number", "wrong-type")}),
        ({"kind": "cash", "coins": [], "note": 1}, {("/note", "unknown-field")}),
        ({"kind": "cash"}, {("/coins", "missing")}),
        ({"kind": "shells"}, {("", "not-allowed")}),
        (3, {("", "wrong-type")}),
    ],
)
def test_of_several_shapes_the_one_that_was_meant_is_blamed(
    value: object, found: set[tuple[str, str]]
) -> None:
    card = {"kind": {"const": "card"}, "number": {"type": "string"}}
    cash = {"kind": {"const": "cash"}, "coins": {"type": "array"}}
    schema = {
        "oneOf": [
            {
                "type": "object",
                "required": list(properties),
                "properties": properties,
                "additionalProperties": False,
            }
            for properties in (card, cash)
        ]
    }
    payment = Contract("/payment", jsonschema_rs.Registry([("/payment", schema)]))

    assert {(each["pointer"], each["code"]) for each in payment.errors(value)} == found


def test_details_repeat_nothing_that_was_sent() -> None:
    [error] = Contract.of("commands/purchase").errors({**PURCHASE, "member": "me@example.com"})

    assert "example" not in error["detail"]


def test_a_vast_wrong_document_is_told_its_first_error_only() -> None:
    assert len(problems_of({**PURCHASE, "lines": [0] * 100_000})) == 1


@pytest.mark.parametrize("depth", [300, 900])
def test_depth_is_a_fault_of_the_document_not_ours(depth: int) -> None:
    deep = decode(b'{"member":' + b"[" * depth + b"]" * depth + b"}")

    assert problems_of(deep) == {("", "malformed")}


@given(value=JSON)
def test_no_document_upsets_the_validator(value: object) -> None:
    contract = Contract.of("commands/purchase")

    assert contract.is_valid(value) == (contract.errors(value) == [])


@given(value=JSON)
@example(value=1e300)
def test_a_document_survives_its_canonical_bytes(value: object) -> None:
    once = decode(canonical(value))

    assert canonical(once) == canonical(decode(json.dumps(value).encode()))
    assert decode(canonical(once)) == once


@given(keys=st.lists(st.text(), unique=True), seed=st.randoms())
def test_the_order_of_keys_does_not_count(keys: list[str], seed: Any) -> None:
    shuffled = sorted(keys, key=lambda _: seed.random())

    assert canonical(dict.fromkeys(keys, 1)) == canonical(dict.fromkeys(shuffled, 1))


def test_spaces_escapes_and_ways_to_write_a_number_do_not_count() -> None:
    plain = decode(b'{"amount":198,"name":"B\xc3\xa4r"}')

    assert canonical(decode(b'{ "name": "B\\u00e4r", "amount": 198.0 }')) == canonical(plain)
    assert canonical(decode(b'{"name":"B\xc3\xa4r","amount":1.98e2}')) == canonical(plain)


@given(number=st.integers(-(10**15), 10**15))
def test_a_whole_number_is_an_int_however_it_is_written(number: int) -> None:
    for raw in (f"{number}", f"{number}.0", f"{number}e0"):
        value = decode(raw.encode())

        assert value == number
        assert type(value) is int


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{}{}",
        b"[1] x",
        b"NaN",
        b"Infinity",
        b"01",
        b"1e400",
        b"-1e999999999",
        b"9" * 5000,
        b'"\xff"',
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda raw: raw[:12].decode("latin-1"),
)
def test_refuses_what_is_not_one_json_document(raw: bytes) -> None:
    with pytest.raises(NotJson):
        decode(raw)


@given(raw=st.binary())
def test_any_bytes_are_a_document_or_refused(raw: bytes) -> None:
    try:
        value = decode(raw)
    except NotJson:
        return
    assert not (isinstance(value, float) and not math.isfinite(value))


def test_canonical_bytes_are_the_same_in_every_process() -> None:
    script = (
        "import json, sys; from services.runtime.contracts import *;"
        "sys.stdout.write(fingerprint(canonical(json.load(sys.stdin))).hex())"
    )

    elsewhere = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(PURCHASE),
        capture_output=True,
        text=True,
        check=True,
    )

    assert elsewhere.stdout == fingerprint(canonical(PURCHASE)).hex()


def test_schemas_for_openapi_refer_to_nothing_outside() -> None:
    schema = Contract.of("commands/purchase").schema

    assert "$ref" not in json.dumps(schema)
    assert "$id" not in schema
