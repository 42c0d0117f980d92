"""The files of contracts/ for tests: schemas, examples, and a second opinion on both.

The services check documents with a validator written in Rust. What it says is compared here with
what Python's own `jsonschema` says, which shares no line of code with it.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from services.runtime.contracts import CONTRACTS_DIR

EXAMPLES_DIR = CONTRACTS_DIR / "examples"

SCHEMAS: dict[str, dict[str, Any]] = {
    path.relative_to(CONTRACTS_DIR).as_posix().removesuffix(".schema.json"): json.loads(
        path.read_bytes()
    )
    for path in sorted(CONTRACTS_DIR.rglob("*.schema.json"))
}
"""By name, for example ``commands/purchase``."""

EXAMPLES: dict[str, str] = {
    path.relative_to(EXAMPLES_DIR).as_posix().removesuffix(".json"): path.read_text("utf-8")
    for path in sorted(EXAMPLES_DIR.rglob("*.json"))
}
"""By name, for example ``commands/purchase.stranger``, as text."""


COMMANDS: list[str] = [
    type_.removeprefix("stampbook.")
    for type_ in SCHEMAS["commands/envelope"]["properties"]["type"]["enum"]
]
"""What may be asked for on topic ``intake``."""

_A_DERIVED_ID = "20dee399-c355-5dc5-b455-6248a6d35daf"


def example(name: str) -> Any:
    """An example, decoded anew: the caller may change it."""
    return json.loads(EXAMPLES[name])


def schema_name(example_name: str) -> str:
    """``NAME`` and ``NAME.WHAT`` are examples of ``NAME``."""
    name = example_name
    while name and name not in SCHEMAS:
        name = name.rpartition(".")[0]
    assert name, f"contracts/examples/{example_name}.json is an example of nothing"
    return name


def is_on_intake(name: str) -> bool:
    """Whether this is an example of a command's data."""
    return schema_name(name).removeprefix("commands/") in COMMANDS


def on_intake(name: str) -> dict[str, Any]:
    """An example of a command, as it lies on the topic."""
    command = schema_name(name).removeprefix("commands/")
    source, id_ = {
        "purchase": ("grocer", "31198459568"),
        "return": ("grocer", "31198459568/r1"),
        "redemption": ("grocer", "till3-42"),
        "reversal": ("grocer", "till3-42"),
        "hold": ("grocer", "order-77"),
        "capture": ("grocer", "order-77"),
        "release": ("grocer", "order-77"),
        "adjustment": ("grocer", "desk-2017-0007"),
        "claim": ("grocer", "31198459571/app-7f3a"),
        "card": ("grocer", "4006381333931/desk-1"),
        "award": ("/rewards", _A_DERIVED_ID),
        "take-back": ("/rewards", _A_DERIVED_ID),
        "expiry": ("/clock", _A_DERIVED_ID),
        "credit": ("/clock", _A_DERIVED_ID),
        "hold-expiry": ("/clock", _A_DERIVED_ID),
        "lapse": ("/clock", _A_DERIVED_ID),
    }[command]
    type_ = f"stampbook.{command}"
    actor = {"actor": "operator"} if command == "adjustment" else {}
    return {
        "specversion": "1.0",
        "type": type_,
        "source": source,
        "id": id_,
        **actor,
        "data": example(name),
    }


def blamed(schema: object, value: object) -> set[str]:
    """The pointers of all bad fields, as Python's `jsonschema` finds them; empty: valid."""
    errors = _validator(json.dumps(schema)).iter_errors(value)
    return {pointer for error in errors for pointer in _pointers(error)}


def reference_to(name: str) -> dict[str, str]:
    """A schema that says no more than the contract of this name."""
    return {"$ref": SCHEMAS[name]["$id"]}


@cache
def _validator(schema: str) -> Any:
    # Without its "$schema", or jsonschema would go on with its own class in place of `_Strict`.
    resources = [
        (each["$id"], DRAFT202012.create_resource({k: each[k] for k in each if k != "$schema"}))
        for each in SCHEMAS.values()
    ]
    return _Strict(
        json.loads(schema),
        registry=Registry().with_resources(resources),
        format_checker=_FORMATS,
    )


def _matches(_validator: object, pattern: str, value: object, _schema: object) -> Iterator[Any]:
    # Python's $ also matches before a last line feed; that of JSON Schema does not.
    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


_Strict: Any = validators.extend(Draft202012Validator, {"pattern": _matches})  # type: ignore[no-untyped-call]
_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def _pointers(error: Any) -> Iterator[str]:  # the stubs leave every attribute "perhaps unset"
    """What an error blames; a field that is missing or unknown is named itself."""
    place = "".join(f"/{_escaped(step)}" for step in error.absolute_path)
    instance, keyword = error.instance, error.validator
    names: list[object] = []
    if keyword == "required":
        names = [name for name in error.validator_value if name not in instance]
    elif keyword == "additionalProperties" and error.validator_value is False:
        names = [name for name in instance if name not in error.schema.get("properties", {})]
    elif "propertyNames" in error.absolute_schema_path:
        names = [instance]
    yield from (f"{place}/{_escaped(name)}" for name in names)
    if not names:
        yield place


def _escaped(step: object) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")
