"""What can be seen from outside when all is quiet: the log, outcomes, balances, letters."""

from base64 import b64decode
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx

from tests.chaos.journal import Line
from tests.support.installation import Installation

Json = dict[str, Any]
_AT_ONCE = 8
_PAGE_SIZE = 1_000


class Log:
    """The log over REST, read on from where it was read before."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._after = "0"
        self.events: list[Json] = []

    def read_on(self) -> None:
        """To its present end."""
        while True:
            page = got(self._http, "/v1/events", after=self._after, limit=_PAGE_SIZE)
            self.events += page["items"]
            if not page["items"] and page["next"] == self._after:
                return
            self._after = page["next"]

    def of_type(self, name: str) -> list[Json]:
        return [event for event in self.events if event["type"] == f"stampbook.{name}.v1"]


def got(http: httpx.Client, path: str, **params: str | int) -> Json:
    """What stands there."""
    answer = http.get(path, params=params)
    answer.raise_for_status()
    found: Json = answer.json()
    return found


def outcomes(installation: Installation, lines: Iterable[Line]) -> dict[str, Json]:
    """What became of commands, by `TYPE ID`; whoever was never taken in is not among them."""

    def ask(line: Line) -> tuple[str, Json | None]:
        command = line.command
        headers = {"Stampbook-Merchant": command.merchant}
        answer = http.get(f"/v1/outcomes/{command.type}/{quote(command.id)}", headers=headers)
        known = answer.status_code != httpx.codes.NOT_FOUND
        return line.label, answer.raise_for_status().json() if known else None

    with installation.client() as http, ThreadPoolExecutor(_AT_ONCE) as pool:
        return {name: found for name, found in pool.map(ask, lines) if found is not None}


def balances(installation: Installation, members: Iterable[str]) -> dict[str, dict[str, Json]]:
    """By member and unit."""

    def ask(member: str) -> tuple[str, dict[str, Json]]:
        found = got(http, f"/v1/members/{member}/balances")["balances"]
        return member, {each["unit"]: each for each in found}

    with installation.client() as http, ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(pool.map(ask, members))


def letters(http: httpx.Client) -> Iterator[tuple[int, int, bytes]]:
    """Partition, offset and bytes of everything that was set aside from `intake`."""
    after: Json = {}
    while True:
        page = got(http, "/v1/dead-letters", limit=_PAGE_SIZE, **after)
        for brief in page["items"]:
            letter = got(http, f"/v1/dead-letters/{brief['id']}")
            yield letter["partition"], letter["offset"], b64decode(letter["value"])
        if page["next"] is None:
            return
        after = {"after": page["next"]}
