"""Reads docker-compose.yml as far as it is used, and refuses what it does not understand.

The tests start what that file names. A key or a value that this reader passed over in silence
would hold in production and not here, or the other way round: so every one is known or an error.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

COMPOSE_FILE = Path(__file__).parents[2] / "docker-compose.yml"

_PROGRAM_KEYS = {
    *("build", "image", "restart", "depends_on", "command", "environment", "healthcheck"),
    *("ports", "configs", "volumes"),
}
_CHECK_KEYS = {"test", "interval", "timeout", "retries", "start_period"}
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Z_]+)(?P<rest>:[-?][^}]*)?\}|(?P<bad>))")


class NotUnderstood(Exception):
    """docker-compose.yml says something that the tests would not do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One service of the file, with every variable replaced."""

    name: str
    image: str
    command: list[str]
    environment: Mapping[str, str]
    check: list[str]  # what tells whether it is healthy
    depends_on: list[str]

    @property
    def health_path(self) -> str:
        """The path that its health check asks for."""
        urls: list[str] = re.findall(r"http://[^'\" ]+", self.check[-1])
        if len(urls) != 1:
            raise NotUnderstood(f"{self.name}: its health check asks for one address: {self.check}")
        return urlsplit(urls[0]).path


@dataclass(frozen=True, slots=True, kw_only=True)
class Compose:
    """The whole file."""

    programs: Mapping[str, Program]
    configs: Mapping[str, str]

    @property
    def roles(self) -> list[Program]:
        """Our own programs, in the order of the file."""
        return [each for each in self.programs.values() if each.image == "stampbook"]


def read_compose(variables: Mapping[str, str], path: Path = COMPOSE_FILE) -> Compose:
    """Read the file as `docker compose` does with these variables set.

    Raises:
        NotUnderstood: something in it is new to this reader, or a variable is missing.
    """
    document = _replaced(yaml.safe_load(path.read_text("utf-8")), variables)
    known = {key for key in document if not key.startswith("x-")}
    _check_keys("the file", known, {"name", "services", "configs", "volumes"})
    configs = {name: _content(name, each) for name, each in document["configs"].items()}
    programs = {name: _program(name, each) for name, each in document["services"].items()}
    for program in programs.values():
        strangers = set(program.depends_on) - set(programs)
        if strangers:
            raise NotUnderstood(f"{program.name} depends on {strangers}, which the file lacks")
    return Compose(programs=programs, configs=configs)


def _program(name: str, said: dict[str, Any]) -> Program:
    _check_keys(name, said, _PROGRAM_KEYS)
    check = said.get("healthcheck", {})
    _check_keys(f"{name}: healthcheck", check, _CHECK_KEYS)
    kind, *test = check.get("test", ["CMD"])
    if kind != "CMD" or not test:
        raise NotUnderstood(f"{name}: a health check is a command: {check}")
    return Program(
        name=name,
        image=said["image"],
        command=shlex.split(said.get("command", "")),
        environment={k: _text(f"{name}: {k}", v) for k, v in said.get("environment", {}).items()},
        check=test,
        depends_on=list(said.get("depends_on", ())),
    )


def _content(name: str, config: dict[str, str]) -> str:
    _check_keys(f"config {name}", config, {"content"})
    return str(config["content"])


def _text(where: str, value: object) -> str:
    """A value as a program finds it in its environment."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise NotUnderstood(f"{where}: put quotes around {value!r}")
    return str(value)


def _check_keys(where: str, found: Any, known: set[str]) -> None:
    strangers = set(found) - known
    if strangers:
        raise NotUnderstood(f"{where}: what is {sorted(strangers)}?")


def _replaced(value: Any, variables: Mapping[str, str]) -> Any:
    """The same with every variable replaced, however deep."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _value(found, variables), value)
    if isinstance(value, dict):
        return {key: _replaced(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, variables) for each in value]
    return value


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found["dollar"]:
        return "$"
    if found["bad"] is not None:
        raise NotUnderstood(f"a lonely $ in {found.string!r}")
    given, rest = variables.get(found["name"], ""), found["rest"] or ""
    if not given and rest.startswith(":-"):
        return rest[2:]
    if not given:
        raise NotUnderstood(f"set {found['name']}: {rest[2:] or 'it has no default'}")
    return given
