"""docker-compose.yml says what the tests run, and nothing that they would pass over."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.compose import COMPOSE_FILE, NotUnderstood, read_compose
from tests.support.full import VARIABLES
from tests.support.kafka_jars import KAFKA_VERSION
from tests.support.kafka_server import PROPERTIES
from tests.support.nginx import read_proxy_rules
from tests.support.postgres_server import programs_for

COMPOSE = read_compose(VARIABLES)
# Where the broker is, and what is as large as a disk: not the same on a test's machine.
OF_THE_PLACE = re.compile(r"listeners|quorum|log\.dirs")
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|(?<!_PUBLIC)_KEY$")
PASSWORD_IN_A_URL = re.compile(r"\w://[^/\s:@]+:(.+?)@")
ASKED_FOR = re.compile(r"\$\{[A-Z_]+:\?[^}]*\}")


def test_every_role_is_there() -> None:
    commands = {" ".join(program.command) for program in COMPOSE.roles}

    assert commands == {
        *(f"python -m services.ledger {role}" for role in ("api", "writer", "relay", "clock")),
        *(f"python -m services.rewards {role}" for role in ("api", "projector")),
        *(f"python -m services.notify {role}" for role in ("api", "projector", "dispatcher")),
    }


def test_kafka_is_of_the_version_that_the_tests_run() -> None:
    assert COMPOSE.programs["kafka"].image == f"apache/kafka:{KAFKA_VERSION}"


def test_postgres_is_of_the_version_that_the_tests_run(tmp_path: Path) -> None:
    program = programs_for(None, tmp_path) / "postgres"

    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)

    version = said.stdout.rpartition(" ")[2].strip()
    assert COMPOSE.programs["postgres"].image == f"postgres:{version}"


def test_kafka_has_the_settings_that_the_tests_run() -> None:
    tested = dict(line.split("=", 1) for line in PROPERTIES.splitlines())
    named = {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): value
        for name, value in COMPOSE.programs["kafka"].environment.items()
        if name.startswith("KAFKA_")
    }

    differing = {
        name: (value, tested.get(name))
        for name, value in named.items()
        if tested.get(name) != value and not OF_THE_PLACE.search(name)
    }

    assert differing == {}


def test_no_secret_stands_in_the_file() -> None:
    assert secrets_in(COMPOSE_FILE.read_text("utf-8")) == []


def test_a_secret_would_be_found() -> None:
    text = """
    services:
      postgres: {environment: {POSTGRES_PASSWORD: hunter2, LANG: C}}
      api: {environment: {STAMPBOOK_ADMIN_KEY: "${KEY:?choose one}", URL: "http://a:hunter3@b/c"}}
    """

    assert secrets_in(text) == ["hunter2", "hunter3"]


def test_the_file_does_not_start_without_its_secrets() -> None:
    for name in ("POSTGRES_PASSWORD", "STAMPBOOK_ADMIN_KEY"):
        with pytest.raises(NotUnderstood, match=name):
            read_compose({k: v for k, v in VARIABLES.items() if k != name})


def test_the_proxy_knows_every_door() -> None:
    rules = read_proxy_rules(COMPOSE.configs["proxy"])

    hosts = {
        path: rules.route(path).host
        for path in ("/v1/purchases/1", "/v1/programmes", "/v1/endpoints/1/lag", "/docs")
    }

    assert list(hosts.values()) == ["ledger-api", "rewards-api", "notify-api", "ledger-api"]
    assert rules.route("/rewards/docs").translated("/rewards/docs?a=b") == "/docs?a=b"
    assert rules.route("/v1/endpoints").translated("/v1/endpoints") == "/v1/endpoints"


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ("ledger-api", "deploy", {"replicas": 2}),
        ("ledger-api", "user", "root"),
        ("ledger-api", "environment", {"LEDGER_X": True}),
        ("ledger-api", "command", "python -m services.ledger $ROLE"),
        ("ledger-api", "depends_on", ["redis"]),
        ("ledger-api", "healthcheck", {"test": ["CMD-SHELL", "true"]}),
    ],
)
def test_what_the_tests_would_not_do_is_refused(
    tmp_path: Path, place: str, key: str, value: object
) -> None:
    document = yaml.safe_load(COMPOSE_FILE.read_text("utf-8"))
    document["services"][place][key] = value
    changed = tmp_path / "docker-compose.yml"
    changed.write_text(yaml.safe_dump(document))

    with pytest.raises(NotUnderstood):
        read_compose(VARIABLES, changed)


@pytest.mark.parametrize(
    "line",
    [
        "gzip on;",
        "location ~ ^/v1 { proxy_pass http://ledger-api:8080; }",
        "location /x { return 404; }",
        "location /x { proxy_pass https://ledger-api; }",
    ],
)
def test_what_our_proxy_would_not_do_is_refused(line: str) -> None:
    text = COMPOSE.configs["proxy"].replace("listen 8080;", f"listen 8080; {line}")

    with pytest.raises(NotUnderstood):
        read_proxy_rules(text)


def secrets_in(text: str) -> list[str]:
    """Values of what is called a secret, and passwords in addresses, that stand there plainly."""
    found = [
        value
        for program in yaml.safe_load(text)["services"].values()
        for name, value in program.get("environment", {}).items()
        if SECRET_NAME.search(name)
    ]
    found += PASSWORD_IN_A_URL.findall(text)
    return [value for value in found if not ASKED_FOR.fullmatch(value)]
