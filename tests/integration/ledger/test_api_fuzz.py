"""Whatever is sent to the ledger's doors: an answer that its OpenAPI names, and never a 500."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.schemas import OpenApiSchema

from services.runtime.web import NDJSON
from tests.support.keys import bearer
from tests.support.ledger import OPERATOR_KEY, Ledger

OPERATIONS = [
    ("PUT", "/v1/purchases/{purchase_id}"),
    ("PUT", "/v1/purchases/{purchase_id}/returns/{return_id}"),
    ("PUT", "/v1/redemptions/{redemption_id}"),
    ("PUT", "/v1/redemptions/{redemption_id}/reversal"),
    ("PUT", "/v1/purchases/{purchase_id}/claim"),
    ("PUT", "/v1/holds/{hold_id}"),
    ("PUT", "/v1/holds/{hold_id}/capture"),
    ("PUT", "/v1/holds/{hold_id}/release"),
    ("PUT", "/v1/adjustments/{adjustment_id}"),
    ("PUT", "/v1/cards/{number}"),
    ("GET", "/v1/cards/{number}"),
    ("GET", "/v1/members/{member}/cards"),
    ("POST", "/v1/batches"),
    ("GET", "/v1/outcomes/{command_type}/{command_id}"),
    ("GET", "/v1/members/{member}/balances"),
    ("GET", "/v1/members/{member}/entries"),
    ("GET", "/v1/members/{member}/lots"),
    ("GET", "/v1/entries/{entry_id}/why"),
    ("GET", "/v1/purchases/{purchase_id}"),
    ("GET", "/v1/purchases/{purchase_id}/points"),
    ("GET", "/v1/settlements/{month}"),
    ("GET", "/v1/members/{member}/statements/{month}"),
    ("GET", "/v1/trial-balance"),
    ("GET", "/v1/events"),
    ("GET", "/v1/dead-letters"),
    ("GET", "/v1/dead-letters/{letter_id}"),
    ("POST", "/v1/dead-letters/{letter_id}/retry"),
    ("POST", "/v1/dead-letters/{letter_id}/drop"),
    ("GET", "/v1/keys"),
    ("POST", "/v1/keys"),
    ("GET", "/v1/keys/self"),
    ("DELETE", "/v1/keys/{key_id}"),
    ("GET", "/v1/verification"),
    ("GET", "/v1/export"),
    ("GET", "/v1/members/{member}/statements/{month}/signed"),
    ("GET", "/v1/settlements/{month}/signed"),
    ("GET", "/v1/checkpoint"),
    ("GET", "/v1/checkpoint/keys"),
    ("POST", "/v1/checkpoint/cosignatures"),
    ("GET", "/v1/proofs/inclusion"),
    ("GET", "/v1/proofs/consistency"),
    ("GET", "/v1/proofs/events"),
    ("GET", "/v1/tile/{level}/{number}"),
    ("GET", "/v1/views/{view}/comparison"),
    ("POST", "/v1/views/{view}/switch"),
]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def described(ledger: Ledger) -> OpenApiSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", ledger.app)


@schemathesis.serializer(NDJSON)
def as_lines(_: Any, value: Any) -> Any:
    """A body that is described as a line becomes one; what is no line is sent as it is."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def test_every_operation_is_fuzzed(described: OpenApiSchema) -> None:
    paths = described.raw_schema["paths"]
    found = {(method.upper(), path) for path, methods in paths.items() for method in methods}

    assert found == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_keeps_its_openapi(described: OpenApiSchema, method: str, path: str) -> None:
    @given(case=described[path][method].as_strategy())
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    def keeps_it(case: Any) -> None:
        case.query.pop("follow", None)  # it would never end
        case.headers.setdefault("Stampbook-Merchant", "grocer")
        # Currencies, dates and a merchant's name are more than a schema can check.
        case.call_and_validate(
            headers=bearer(OPERATOR_KEY), excluded_checks=[positive_data_acceptance]
        )

    keeps_it()
