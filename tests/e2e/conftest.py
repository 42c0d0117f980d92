"""The two installations, each started once, and a shop for every story."""

import secrets
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e import answers
from tests.e2e.shop import Shop
from tests.support.embedded import running_embedded
from tests.support.full import running_full
from tests.support.installation import Installation
from tests.support.receiver import Receiver

FULL = pytest.param("full", marks=[pytest.mark.kafka, pytest.mark.postgres])


@pytest.fixture(scope="session", params=["embedded", FULL])
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """Every story is told on both."""
    if request.param == "embedded":
        with running_embedded() as installation:
            yield installation
    else:
        with running_full(request.getfixturevalue("stack")) as installation:
            yield installation


@pytest.fixture
def client(installation: Installation) -> Iterator[httpx.Client]:
    """The operator's, acting for the grocer; every answer to it is held against its contract."""
    with installation.client() as client:
        client.event_hooks = {"response": [answers.check]}
        yield client


@pytest.fixture
def shop(installation: Installation, client: httpx.Client) -> Shop:
    return Shop(installation, client, secrets.token_hex(4))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """What webhooks arrive at."""
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()
