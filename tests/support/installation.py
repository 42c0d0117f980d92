"""Stampbook as its users have it: processes, one address, the operator's key.

The two ways to run stand behind one small interface, so that one suite of tests serves both.
`embedded.py` and `full.py` beside this file start them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.support.server import Server

ROOT = Path(__file__).parents[2]
GROCER = ROOT / "examples" / "programmes" / "grocer.yaml"
KEY = "sb_the-key-of-the-operator-in-tests"
MERCHANT = "grocer"
IMPATIENT = {"NOTIFY_REQUEST_TIMEOUT_S": "2"}  # no story waits 15 s for an endpoint that hangs
ANSWER_TIMEOUT_S = 45
COMMAND_TIMEOUT_S = 90
STANDBY = "-2"  # ends the name of the second process of a role


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Something that runs, seen from outside."""

    name: str  # embedded or full
    url: str
    key: str
    processes: Mapping[str, Server]  # by role
    stores: Mapping[str, Server] = field(default_factory=dict)  # by name, where they are our own
    kafka_url: str | None = None  # kafka://HOST:PORT?prefix=...
    places: Mapping[str, str] = field(default_factory=dict)  # of each role, behind the proxy
    databases: Mapping[str, str] = field(default_factory=dict)  # by service, where it is full

    @property
    def roles(self) -> Sequence[str]:
        """What can be killed and started again."""
        return list(self.processes)

    def client(self, key: str | None = None, **headers: str) -> httpx.Client:
        """A client with a key, by default the operator's, who acts for the one merchant."""
        if key is None:
            headers = {"Stampbook-Merchant": MERCHANT, **headers}
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key or self.key}", **headers},
            timeout=ANSWER_TIMEOUT_S,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=16),
        )

    def kill(self, role: str) -> None:
        """As a power cut does."""
        self.processes[role].kill()

    def start(self, role: str) -> None:
        """Start it again, on what it left behind, and wait until it answers."""
        self.processes[role].start()

    def owners(self, service: str) -> list[str]:
        """The processes that own something at the moment; none while the database is away."""
        if service not in self.databases:
            return []
        try:
            with psycopg.connect(self.databases[service], connect_timeout=2) as connection:
                found = connection.execute("SELECT owner FROM owners WHERE lease_until > 0")
                return [owner for (owner,) in found]
        except psycopg.Error:
            return []

    def verify(self) -> dict[str, Any]:
        """What the auditor's reading of the whole log says."""
        with self.client() as client, client.stream("GET", "/v1/verification") as answer:
            answer.raise_for_status()
            *_, last = answer.iter_lines()
        verdict: dict[str, Any] = json.loads(last)
        return verdict

    def stampbook(
        self, *arguments: str | Path, key: str | None = None, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run the command `stampbook` against this installation."""
        environment = {"STAMPBOOK_URL": self.url, "STAMPBOOK_KEY": key or self.key}
        if key is None:
            environment["STAMPBOOK_MERCHANT"] = MERCHANT
        return stampbook(*arguments, environment=environment, timeout_s=timeout_s)


def stampbook(
    *arguments: str | Path,
    environment: Mapping[str, str],
    timeout_s: float = COMMAND_TIMEOUT_S,
    folder: Path = ROOT,
) -> subprocess.CompletedProcess[str]:
    """Run the command `stampbook`, from anywhere, with nothing in its environment but this."""
    return subprocess.run(
        (sys.executable, "-m", "stampbook", *arguments),
        cwd=folder,
        env={"PATH": os.environ.get("PATH", os.defpath), **our_code(), **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def our_code() -> dict[str, str]:
    """Lets a process that runs in a folder of its own find the packages of this tree."""
    return {"PYTHONPATH": str(ROOT)}


def answers(url: str) -> bool:
    """Whether a health check is content."""
    try:
        return httpx.get(url, timeout=3, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
