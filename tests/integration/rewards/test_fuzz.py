"""Whatever is sent to the door of rewards: an answer that its OpenAPI names, and never a 500."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.schemas import OpenApiSchema

from services.rewards.api import TITLE, routes
from services.runtime.health import Health
from services.runtime.web import application
from tests.support.databases import migrated
from tests.support.keys import OPERATOR, KnownKeys, bearer
from tests.support.rewards_desk import RewardsDesk

PROGRAMME = "/v1/programmes/{programme}"
VERSION = f"{PROGRAMME}/versions/{{number}}"


@pytest.fixture
def described(tmp_path: Path) -> Iterator[OpenApiSchema]:
    with migrated(f"sqlite:///{tmp_path / 'rewards.db'}", "services.rewards") as database:
        desk = RewardsDesk(database)
        desk.adopt()
        app = application(TITLE, "0", [routes(desk.programmes, KnownKeys())], health=Health())
        yield schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/programmes"),
        ("GET", PROGRAMME),
        ("PUT", VERSION),
        ("GET", VERSION),
        ("POST", f"{VERSION}/activate"),
        ("POST", f"{VERSION}/retire"),
    ],
)
def test_keeps_its_openapi(described: OpenApiSchema, method: str, path: str) -> None:
    @given(case=described[path][method].as_strategy())
    @settings(max_examples=50, suppress_health_check=list(HealthCheck))
    def keeps_it(case: Any) -> None:
        # Time zones, currencies and units are more than a schema can check.
        case.call_and_validate(headers=bearer(OPERATOR), excluded_checks=[positive_data_acceptance])

    keeps_it()
