"""contracts/ made executable: every document that comes in is held against its JSON Schema.

Bytes become a value (`decode`), the value is checked (`Contract`), and turns back into bytes that
are the same for every way of writing the same document (`canonical`), so that a fingerprint of
them tells "sent again" from "sent with other content".
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypedDict

import jsonschema_rs
import msgspec
from jsonschema_rs import ValidationError, ValidationErrorKind

CONTRACTS_DIR = Path(__file__).parents[2] / "contracts"  # in a checkout and in a wheel alike
VALUES_MAX = 25_000
"""A document of more values than a purchase of 1,000 lines can hold is told its first bad field
only: finding every one of half a million takes seconds, in which nobody else is served."""
ERRORS_MAX = 10_000

_SUFFIX = ".schema.json"
_CODE_BY_KEYWORD = {
    "required": "missing",
    "additionalProperties": "unknown-field",
    "type": "wrong-type",
    "pattern": "malformed",
    "format": "malformed",
    "minimum": "out-of-range",
    "maximum": "out-of-range",
    "exclusiveMinimum": "out-of-range",
    "exclusiveMaximum": "out-of-range",
    "multipleOf": "out-of-range",
    "maxLength": "too-long",
    "minLength": "too-short",
    "minItems": "too-short",
    "minProperties": "too-short",
    "maxItems": "too-many",
    "maxProperties": "too-many",
    "uniqueItems": "repeated",
}


class NotJson(ValueError):
    """These bytes are not one JSON document."""


class FieldError(TypedDict):
    """One bad field: where it is (JSON Pointer), a stable code, and a sentence for people."""

    pointer: str
    code: str
    detail: str


def _whole_if_integral(text: str) -> int | float:
    """198.0 is 198: what is equal to a reader of JSON is equal here, and no float is left."""
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:32]} is too large a number")
    return int(number) if number.is_integer() else number


_decoder = msgspec.json.Decoder(float_hook=_whole_if_integral)
_encoder = msgspec.json.Encoder(order="sorted")


def decode(raw: bytes) -> Any:
    """The value of one JSON document.

    Raises:
        NotJson: it does not parse, is not UTF-8, or is nested too deep to be meant seriously.
    """
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(str(error)) from None
    except RecursionError:
        raise NotJson("nested too deep") from None


def canonical(value: object) -> bytes:
    """``value`` as JSON without spaces, keys sorted: equal values make equal bytes anywhere."""
    return _encoder.encode(value)


def fingerprint(canonical: bytes) -> bytes:
    """32 bytes that stand for the whole document."""
    return sha256(canonical).digest()


class Contract:
    """One JSON Schema of contracts/, compiled."""

    __slots__ = ("_validator", "is_valid", "schema")

    is_valid: Callable[[object], bool]
    """The hot path: 2 us for a purchase. Ask `errors` only when it says no."""
    schema: dict[str, Any]
    """Whole: what it refers to is written out, for OpenAPI."""

    def __init__(self, schema_id: str, registry: jsonschema_rs.Registry) -> None:
        reference = {"$ref": schema_id}
        self._validator = jsonschema_rs.Draft202012Validator(
            reference, registry=registry, validate_formats=True, mask="the value"
        )
        self.is_valid = self._validator.is_valid
        whole = jsonschema_rs.dereference(reference, registry=registry)
        self.schema = {key: whole[key] for key in whole if key not in {"$id", "$schema"}}

    @staticmethod
    def of(name: str) -> "Contract":
        """The contract in ``contracts/NAME.schema.json``, for example ``commands/purchase``."""
        return _published()[name]

    def errors(self, value: object) -> list[FieldError]:
        """Every bad field at once; an empty list means valid."""
        if self.is_valid(value):
            return []
        try:
            complaints = self._complaints(value)
        except (ValueError, RecursionError):  # the validator's bound, or else Python's
            return [FieldError(pointer="", code="malformed", detail="is nested too deep")]
        fields = islice(chain.from_iterable(map(_fields, complaints)), ERRORS_MAX)
        return list({(field["pointer"], field["code"]): field for field in fields}.values())

    def _complaints(self, value: object) -> list[ValidationError]:
        if canonical(value).count(b",") < VALUES_MAX:
            return list(self._validator.iter_errors(value))
        try:
            self._validator.validate(value)
        except ValidationError as first:
            return [first]
        raise AssertionError("what is not valid has a first error")


@cache
def _published() -> Mapping[str, Contract]:
    schemas = {
        path.relative_to(CONTRACTS_DIR).as_posix().removesuffix(_SUFFIX): decode(path.read_bytes())
        for path in sorted(CONTRACTS_DIR.rglob(f"*{_SUFFIX}"))
    }
    registry = jsonschema_rs.Registry([(schema["$id"], schema) for schema in schemas.values()])
    return {name: Contract(schema["$id"], registry) for name, schema in schemas.items()}


def _fields(error: ValidationError) -> Iterator[FieldError]:
    """The bad fields behind one complaint of the validator."""
    place = _pointer(error.instance_path)
    match error.kind:
        case ValidationErrorKind.Required(name):
            yield _field(f"{place}/{_escaped(name)}", "required", "is missing")
        case ValidationErrorKind.AdditionalProperties(names):
            for name in names:
                yield _field(
                    f"{place}/{_escaped(name)}", "additionalProperties", "is not known here"
                )
        case ValidationErrorKind.PropertyNames(inner):
            name = str(inner.instance)
            yield _field(f"{place}/{_escaped(name)}", inner.kind.name, inner.message)
        case ValidationErrorKind.OneOfNotValid(branches) | ValidationErrorKind.AnyOf(branches):
            yield from _fields_of_nearest(error, branches)
        case kind:
            yield _field(place, kind.name, error.message)


def _fields_of_nearest(
    error: ValidationError, branches: list[list[ValidationError]]
) -> Iterator[FieldError]:
    """Of several shapes, blame the one that was meant: whose own kind and constants fit."""
    depth = len(error.instance_path)
    meant = [
        branch for branch in branches if not any(_is_misfit(each, depth=depth) for each in branch)
    ]
    if meant:
        for each in min(meant, key=len):
            yield from _fields(each)
        return
    keywords = {each.kind.name for branch in branches for each in branch}
    keyword = "type" if keywords == {"type"} else "anyOf"
    yield _field(_pointer(error.instance_path), keyword, error.message)


def _is_misfit(error: ValidationError, *, depth: int) -> bool:
    """Another kind of value, or another value of what tells the shapes apart, one level down."""
    below = len(error.instance_path) - depth
    keywords = {"type", "enum", "const"} if below == 0 else {"const"}
    return below <= 1 and error.kind.name in keywords


def _field(pointer: str, keyword: str, detail: str) -> FieldError:
    code = _CODE_BY_KEYWORD.get(keyword, "not-allowed")
    return FieldError(pointer=pointer, code=code, detail=detail)


def _pointer(path: list[str | int]) -> str:
    return "".join(f"/{_escaped(str(step))}" for step in path)


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")
