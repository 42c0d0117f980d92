"""The real Kafka and PostgreSQL as fixtures: started once, and only in a run that needs them.

A test that asks for one of the fixtures is marked by it, and counted. A test that reaches them
by `request.getfixturevalue`, as suites over several implementations do, carries
`pytest.mark.kafka` or `pytest.mark.postgres` on its parameter.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.kafka_jars import JarsMissing, kafka_folder
from tests.support.kafka_server import Kafka
from tests.support.postgres_server import Postgres
from tests.support.real_count import RealCount
from tests.support.stack import Stack, running_kafka, running_postgres
from tests.support.workers import OneServerEach

# How long one example takes says more about the machine than about the code.
settings.register_profile("stampbook", deadline=None)
settings.load_profile("stampbook")


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """A real Kafka, the same for the whole run. Who kills it starts one of its own."""
    with running_kafka() as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL, the same for the whole run. Who kills it starts one of its own."""
    with running_postgres() as running:
        yield running


@pytest.fixture(scope="session")
def stack(kafka: Kafka, postgres: Postgres) -> Stack:
    return Stack(kafka=kafka, postgres=postgres)


@pytest.fixture(scope="session")
def kafka_url(kafka: Kafka) -> str:
    return kafka.url


@pytest.fixture
def fresh_postgres(postgres: Postgres) -> Iterator[str]:
    """The address of an empty database, for one test."""
    url = postgres.fresh_database()
    yield url
    postgres.drop_database(url)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="fail unless tests ran on the real Kafka and PostgreSQL, and none of them was skipped",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Tests talk to loopback only, whatever proxy the machine has for the rest of the world.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost,::1"
    if not _is_worker(config):
        config.pluginmanager.register(RealCount(is_full=config.getoption("full")))


def _is_worker(config: pytest.Config) -> bool:
    """Whether another process deals out the tests and adds up what became of them."""
    return hasattr(config, "workerinput")


def pytest_itemcollected(item: pytest.Item) -> None:
    for name in {"kafka", "postgres"}.intersection(getattr(item, "fixturenames", ())):
        item.add_marker(name)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneServerEach:
    return OneServerEach(config, log)


def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.getoption("full") and not _is_worker(session.config):
        _fetch_kafka(session.config)


def pytest_collection_finish(session: pytest.Session) -> None:
    if any(item.get_closest_marker("kafka") for item in session.items):
        _fetch_kafka(session.config)


def _fetch_kafka(config: pytest.Config) -> None:
    """In sight of the user, before the clock of any test runs."""
    if config.option.collectonly:
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled(), kafka_folder():
            pass
    except JarsMissing as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)
