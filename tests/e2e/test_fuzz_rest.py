"""Whatever is sent to the doors: an answer that the OpenAPI document names, and never a 500."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.support.embedded import running_embedded
from tests.support.installation import MERCHANT, ROOT, Installation

EXAMPLES = 25
# Beyond what a schema can say: real dates, currencies of a programme, what was there before.
UNCHECKED = [positive_data_acceptance]
DOORS = [
    (method, path)
    for document in sorted((ROOT / "contracts" / "openapi").glob("*.json"))
    for path, methods in json.loads(document.read_text("utf-8"))["paths"].items()
    for method in methods
]


@pytest.fixture(scope="module")
def own() -> Iterator[Installation]:
    """An installation that nobody else uses: fuzzing makes keys, programmes and endpoints."""
    with running_embedded() as installation:
        yield installation
        assert installation.verify()["ok"] is True


@pytest.fixture(scope="module")
def described(own: Installation) -> OpenApiSchema:
    return schemathesis.openapi.from_url(f"{own.url}/openapi.json")


@schemathesis.serializer("application/x-ndjson", "application/yaml")
def as_json(_: Any, value: Any) -> Any:
    """A line of NDJSON is JSON, and JSON is YAML; what is none of it is sent as it is."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@pytest.mark.parametrize(("method", "path"), DOORS)
def test_a_door_keeps_its_word(
    own: Installation, described: OpenApiSchema, method: str, path: str
) -> None:
    headers = {"Authorization": f"Bearer {own.key}"}

    @given(case=described[path][method].as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def keeps_it(case: Any) -> None:
        case.query.pop("follow", None)  # it would never end
        case.headers.setdefault("Stampbook-Merchant", MERCHANT)
        case.call_and_validate(headers=headers, excluded_checks=UNCHECKED)

    keeps_it()


def test_no_door_is_forgotten(described: OpenApiSchema) -> None:
    paths = described.raw_schema["paths"]

    assert {(method, path) for path, methods in paths.items() for method in methods} == set(DOORS)
