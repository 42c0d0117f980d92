"""Do the schemas say what they ought to, and do two validators read them alike?"""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from services.runtime.contracts import Contract
from tests.contract.bad_input import BAD_INPUT, Bad
from tests.support.contracts import EXAMPLES, SCHEMAS, blamed, example, reference_to, schema_name

OPEN_TO_MORE = {"batch-line", "commands/envelope", "dead-letter", "problem"}
"""Their descriptions say what other fields are welcome there."""

DOCUMENTS = sorted(set(SCHEMAS) - {"definitions"})
EVENTS = [name for name in DOCUMENTS if name.startswith("events/")]


def parts(schema: object) -> Iterator[dict[str, Any]]:
    """The schema and every object within it."""
    if isinstance(schema, dict):
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema:  # type: ignore[attr-defined]
        if isinstance(part, dict | list):
            yield from parts(part)


@pytest.mark.parametrize("name", SCHEMAS)
def test_is_a_schema_to_both_validators(name: str) -> None:
    schema = SCHEMAS[name]

    Draft202012Validator.check_schema(schema)
    jsonschema_rs.meta.validate(schema)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", SCHEMAS)
def test_is_found_by_the_path_that_it_names(name: str) -> None:
    references = [part["$ref"] for part in parts(SCHEMAS[name]) if "$ref" in part]

    assert SCHEMAS[name]["$id"] == f"/contracts/{name}.schema.json"
    assert all(not re.match("[a-z]+:|/", reference) for reference in references), "not relative"


@pytest.mark.parametrize("name", SCHEMAS)
def test_says_what_every_field_means(name: str) -> None:
    objects = [part for part in parts(SCHEMAS[name]) if part.get("type") == "object"]
    fields = [field for part in objects for field in part.get("properties", {}).items()]

    saying = {"$ref", "description", "const", "properties", "items"}
    silent = [field for field, meaning in fields if not meaning.keys() & saying]

    assert silent == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_allows_no_field_that_it_does_not_know(name: str) -> None:
    objects = [part for part in parts(SCHEMAS[name]) if part.get("type") == "object"]

    unclosed = [
        part
        for part in objects
        if "properties" in part and part.get("additionalProperties") is not False
    ]

    assert len(unclosed) == (1 if name in OPEN_TO_MORE else 0)


@pytest.mark.parametrize("name", SCHEMAS)
def test_patterns_mean_the_same_in_every_language(name: str) -> None:
    patterns = [
        part["pattern"] for part in parts(SCHEMAS[name]) if isinstance(part.get("pattern"), str)
    ]

    for pattern in patterns:
        assert pattern.startswith("^")
        assert not re.search(r"\(\?|\\[a-wyzA-Z]", pattern), "look-around, or a class of letters"
        re.compile(pattern)


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_comes_in_the_same_envelope(name: str) -> None:
    service = SCHEMAS[name]["properties"]["source"]["const"]
    optional = {"subject", "merchant"} if service == "/rewards" else set()
    attributes = ["specversion", "id", "source", "type", "subject", "time", "shard", "position"]
    attributes += ["recordedat", "merchant", "traceparent", "data"]

    assert list(SCHEMAS[name]["properties"]) == [a for a in attributes if a not in optional]
    assert SCHEMAS[name]["properties"]["type"] == {
        "const": "stampbook." + name.removeprefix("events/")
    }
    assert {*attributes} - {*SCHEMAS[name]["required"]} <= {"subject", "merchant", "traceparent"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_has_an_example(name: str) -> None:
    assert name in EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_accepts_its_examples(name: str) -> None:
    document = example(name)

    contract = schema_name(name)

    assert Contract.of(contract).errors(document) == []
    assert blamed(reference_to(contract), document) == set()


@pytest.mark.parametrize("bad", BAD_INPUT, ids=str)
def test_refuses_bad_input_at_its_place(bad: Bad) -> None:
    document = bad.document()

    contract = schema_name(bad.example)
    found = [(error["pointer"], error["code"]) for error in Contract.of(contract).errors(document)]

    assert found == [(bad.pointer, bad.code)]
    assert blamed(reference_to(contract), document) == {bad.pointer}


def test_names_every_bad_field_at_once() -> None:
    purchase = example("commands/purchase")
    purchase["colour"] = "red"
    del purchase["currency"]
    purchase["lines"][0]["quantity"] = -1
    purchase["lines"][3]["sku"] = 844179

    errors = Contract.of("commands/purchase").errors(purchase)

    assert {(error["pointer"], error["code"]) for error in errors} == {
        ("/colour", "unknown-field"),
        ("/currency", "missing"),
        ("/lines/0/quantity", "out-of-range"),
        ("/lines/3/sku", "wrong-type"),
    }


NEAR_THE_EDGE: st.SearchStrategy[object] = st.sampled_from(
    [
        *[None, True, False, "", 0, 1, -1, 0.5, 1.0, -0.0, 1e300, 10**6, 10**6 + 1],
        *[10**9, 10**9 + 1, 10**15, 10**15 + 1, 2**53, 2**63 - 1, 2**63, 2**64, 10**40, -(10**40)],
        *["1130", "a" * 64, "a" * 65, "1130\n", "a/b", "\u2028", "\U0001f41d" * 128, "USD", "US"],
        *["2017-01-01T12:30:27Z", "2016-02-29T23:59:59.123456789+14:00", "2017-02-29T00:00:00Z"],
        *["P12M", "P0D", "0.0001", "10.00", "points.*", "*", "start", "/clock", "stampbook.return"],
    ]
)
ANYTHING = st.one_of(
    NEAR_THE_EDGE, st.text(), st.integers(), st.lists(st.text(), max_size=3), st.builds(dict)
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) within a document."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


@st.composite
def nearly_right(draw: st.DrawFn) -> tuple[str, Any]:
    """The name of a contract, and an example of it with up to three changes."""
    name = draw(st.sampled_from(sorted(EXAMPLES)))
    root = [example(name)]
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(list(places(root))))
        change = draw(st.sampled_from(["replace", "append", "add", "remove"]))
        if change == "append" and isinstance(container[key], str | list):
            container[key] += container[key][:1]
        elif change == "add" and isinstance(container[key], dict):
            # Not the empty name: jsonschema-rs leaves it out of its paths.
            container[key][draw(st.text(min_size=1, max_size=3))] = draw(ANYTHING)
        elif change == "remove" and container is not root:
            del container[key]
        else:
            container[key] = draw(ANYTHING)
    return schema_name(name), root[0]


@settings(max_examples=500, deadline=None)
@given(nearly_right())
def test_both_validators_blame_the_same_fields(found: tuple[str, Any]) -> None:
    contract, document = found

    pointers = {error["pointer"] for error in Contract.of(contract).errors(document)}

    theirs = blamed(reference_to(contract), document)
    if contract in ("answers/why", "answers/purchase-points"):  # either of two sums may be blamed
        assert bool(pointers) == bool(theirs)
    else:
        assert pointers == theirs
