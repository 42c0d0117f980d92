"""The full installation: the programs of docker-compose.yml as processes, on the real stack.

Commands, environment, health checks and the proxy's routes are those of the file. What differs is
what a container engine would provide: names and ports become loopback addresses, and Kafka and
PostgreSQL are those of `stack.py`, with topics and databases of this installation's own.
"""

import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
from psycopg import sql

from tests.support.compose import Compose, NotUnderstood, Program, read_compose
from tests.support.eventually import eventually
from tests.support.installation import (
    GROCER,
    IMPATIENT,
    KEY,
    STANDBY,
    Installation,
    answers,
    our_code,
)
from tests.support.nginx import Route, read_proxy_rules
from tests.support.reverse_proxy import running_proxy
from tests.support.server import Server, free_port
from tests.support.stack import Stack, watched_folder
from tests.support.watchdog import Watchdog

PASSWORD = "never-asked-for"  # the test's PostgreSQL trusts everybody on loopback
VARIABLES = {
    "POSTGRES_PASSWORD": PASSWORD,
    "STAMPBOOK_ADMIN_KEY": KEY,
    "NOTIFY_ALLOW_LOOPBACK": "true",  # as `--allow-loopback` embedded
    **IMPATIENT,
}
READY_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the names of the file are on this machine."""

    kafka_url: str
    databases: Mapping[str, str]  # the URL of ours by the name of theirs
    ports: Mapping[str, int]  # of each role's API or health check
    volumes: Path  # what several programs see of files

    def translated(self, name: str, value: str, *, role: str) -> str:
        """A variable's value, with this machine's addresses in it."""
        parts = urlsplit(value)
        if name.endswith("_HOST"):
            _expect(value == "0.0.0.0", f"{role}: {name} is 0.0.0.0 in a container")
            return "127.0.0.1"
        if name.endswith("_PORT"):
            _expect(value == "8080", f"{role}: {name} is 8080, which its health check asks")
            return str(self.ports[role])
        if not parts.scheme or not parts.netloc:
            return str(self.volumes / Path(value).name) if name.endswith("_FILE") else value
        match parts.scheme, parts.hostname, parts.port:
            case "kafka", "kafka", 9092:
                return self.kafka_url
            case "postgresql", "postgres", 5432:
                return self._database(parts.path, user=parts.username, role=role)
            case "http", str() as host, 8080 if host in self.ports:
                place = f"127.0.0.1:{self.ports[host]}"
                return urlunsplit(parts._replace(netloc=place))
        raise NotUnderstood(f"{role}: where is {name}={value}?")

    def _database(self, path: str, *, user: str | None, role: str) -> str:
        name = path.removeprefix("/")
        _expect(name in self.databases, f"{role}: nobody creates the database {name!r}")
        parts = urlsplit(self.databases[name])
        return urlunsplit(parts._replace(netloc=f"{user}@{parts.hostname}:{parts.port}"))


@contextmanager
def running_full(
    stack: Stack,
    parent: Path | None = None,
    *,
    with_standbys: bool = False,
    altered: Callable[[Program], Program] = lambda program: program,
) -> Iterator[Installation]:
    """All programs of the file; the grocer's programme is active.

    Args:
        stack: what they stand on.
        parent: where their folders are.
        with_standbys: two processes of each role but the APIs, as after `--scale`.
        altered: sabotage, for those who want to see a check fail.
    """
    compose = read_compose(VARIABLES)
    programs = [*compose.roles, *standbys_of(compose)] if with_standbys else compose.roles
    programs = [altered(program) for program in programs]
    with watched_folder(parent) as (folder, watchdog):
        addresses = Addresses(
            kafka_url=f"{stack.kafka_url}?prefix={secrets.token_hex(4)}-",
            databases=create_databases(compose, stack),
            ports={program.name: free_port() for program in programs},
            volumes=folder,
        )
        processes = {
            program.name: role_server(program, addresses, folder / program.name, watchdog)
            for program in programs
        }
        places = {name: f"http://127.0.0.1:{port}" for name, port in addresses.ports.items()}
        rules = read_proxy_rules(compose.configs["proxy"])
        check_routes(rules.routes, addresses)
        try:
            start_all(list(processes.values()))
            with running_proxy(rules, places) as url:
                load_programme(url)
                yield Installation(
                    name="full",
                    url=url,
                    key=KEY,
                    processes=processes,
                    stores={"kafka": stack.kafka, "postgres": stack.postgres},
                    kafka_url=addresses.kafka_url,
                    places=places,
                    databases=addresses.databases,
                )
        finally:
            stop_all(list(processes.values()))


def standbys_of(compose: Compose) -> list[Program]:
    """A second one of each role that has no address of its own."""
    return [
        replace(program, name=f"{program.name}{STANDBY}")
        for program in compose.roles
        if program.command[-1] != "api"
    ]


def role_server(program: Program, addresses: Addresses, folder: Path, watchdog: Watchdog) -> Server:
    """One program of the file as a process."""
    folder.mkdir()
    python, *arguments = program.command
    _expect(python == "python", f"{program.name}: the tests start Python, not {python}")
    environment = {
        name: addresses.translated(name, value, role=program.name)
        for name, value in program.environment.items()
    }
    health = f"http://127.0.0.1:{addresses.ports[program.name]}{program.health_path}"
    return Server(
        (sys.executable, *arguments),
        folder=folder,
        is_ready=lambda: answers(health),
        watchdog=watchdog,
        environment={**our_code(), **environment},
    )


def create_databases(compose: Compose, stack: Stack) -> dict[str, str]:
    """A database of our own for each that the file creates, owned by the file's account."""
    account = compose.programs["postgres"].environment
    names = [account["POSTGRES_DB"], *_created(compose.configs["databases"])]
    databases = {name: stack.fresh_database() for name in names}
    user = sql.Identifier(account["POSTGRES_USER"])
    with psycopg.connect(stack.postgres_url("postgres"), autocommit=True) as connection:
        is_known = connection.execute(
            "SELECT 1 FROM pg_roles WHERE rolname = %s", [account["POSTGRES_USER"]]
        ).fetchone()
        if not is_known:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(user))
        for url in databases.values():
            database = sql.Identifier(url.rpartition("/")[2])
            connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, user))
    return databases


def _created(script: str) -> list[str]:
    names = []
    for statement in filter(None, map(str.strip, script.split(";"))):
        create, database, name = statement.split()
        _expect((create, database) == ("CREATE", "DATABASE"), f"what is {statement}?")
        names.append(name)
    return names


def check_routes(routes: Sequence[Route], addresses: Addresses) -> None:
    """The proxy sends nobody to a program that the file lacks."""
    for route in routes:
        is_known = route.host in addresses.ports and route.port == 8080
        _expect(is_known, f"the proxy sends {route.prefix} to {route.host}:{route.port}")


def start_all(servers: Sequence[Server]) -> None:
    """All at once: they wait for one another by themselves."""
    for server in servers:
        server.launch()
    for server in servers:
        server.wait_until_ready()


def stop_all(servers: Sequence[Server]) -> None:
    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(Server.stop, servers))


def load_programme(url: str) -> None:
    """As an operator does it, over REST."""
    eventually(lambda: answers(f"{url}/readyz"), timeout_s=READY_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        version = "/v1/programmes/grocer/versions/1"
        body = GROCER.read_bytes()
        typed = {"Content-Type": "application/yaml"}
        # What has just started may ask for a moment (503); doing either again changes nothing.
        eventually(lambda: _is_done(client.put(version, content=body, headers=typed)))
        eventually(lambda: _is_done(client.post(f"{version}/activate")))


def _is_done(answer: httpx.Response) -> bool:
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return False
    answer.raise_for_status()
    return True


def _expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - an assertion with its sentence
    if not holds:
        raise NotUnderstood(otherwise)
