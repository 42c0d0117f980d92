"""The doctor's look at a running server, through its public doors only."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from itertools import islice
from typing import Any

from services.runtime.clock import utc_now
from stampbook.client import Client
from stampbook.failures import Refused
from stampbook.finding import Finding

_SKEW_S_MAX = 5.0
_LETTERS_COUNTED_MAX = 1_000
_LATE_AFTER_S = 300.0
_KEY_NEEDED = (401, 403)
_NOT_READY = {
    "database": "Look at the disk and at the database server, then at this server's log.",
    "stream": "Look at the disk, or at Kafka, then at this server's log.",
    "lag": "If it does not shrink within minutes, look at this server's log.",
}


def examine_server(client: Client) -> Iterator[Finding]:
    """Everything that can be seen from outside.

    Raises:
        Unreachable: there is no server to look at.
    """
    alive = client.request("GET", "/healthz")
    yield Finding.well("server", f"answers at {client.url}")
    yield _clock(alive.headers.get("date"))
    yield _release(client)
    yield from _readiness(client)
    for look in (_dead_letters, _waiting_returns, _endpoints):
        try:
            yield from look(client)
        except Refused as refused:
            if refused.problem.get("status") not in _KEY_NEEDED:
                raise
            yield Finding.ill(
                "key", str(refused), "Show the operator's key: --key, or STAMPBOOK_KEY."
            )
            return


def _clock(date: str | None) -> Finding:
    if date is None:
        return Finding.well("clock", "the server does not say what time it has")
    skew_s = (parsedate_to_datetime(date) - utc_now()).total_seconds()
    detail = f"{abs(skew_s):.0f} s apart from this machine's"
    if abs(skew_s) <= _SKEW_S_MAX:
        return Finding.well("clock", detail)
    return Finding.ill(
        "clock", detail, "Let NTP set both clocks: points end by the server's, to the second."
    )


def _release(client: Client) -> Finding:
    ours = version("stampbook")
    theirs = client.get("/openapi.json")["info"]["version"]
    if ours == theirs:
        return Finding.well("release", f"{theirs}, as this command line")
    return Finding.ill(
        "release", f"{theirs}; this command line is {ours}", "Use the command line of the server."
    )


def _readiness(client: Client) -> Iterator[Finding]:
    try:
        ready = client.get("/readyz")
    except Refused as not_ready:
        ready = not_ready.problem
    checks: dict[str, Any] = ready.get("checks", {})
    for name, check in sorted(checks.items()):
        if check["ok"]:
            yield Finding.well(name, check["detail"] or "ready")
        else:
            kind = next((each for each in _NOT_READY if each in name), "database")
            yield Finding.ill(name, check["detail"], _NOT_READY[kind])


def _dead_letters(client: Client) -> Iterator[Finding]:
    count = sum(1 for _ in islice(client.items("/v1/dead-letters"), _LETTERS_COUNTED_MAX))
    if count == 0:
        yield Finding.well("dead letters", "none")
        return
    at_least = "at least " if count == _LETTERS_COUNTED_MAX else ""
    yield Finding.ill(
        "dead letters",
        f"{at_least}{count:,} messages could not be used",
        "stampbook dead-letters list, then retry ID or drop ID --reason TEXT",
    )


def _waiting_returns(client: Client) -> Iterator[Finding]:
    waiting = client.items("/v1/dead-letters", waiting="true")
    count = sum(1 for _ in islice(waiting, _LETTERS_COUNTED_MAX))
    yield Finding.well("waiting returns", f"{count:,} wait for their purchase" if count else "none")


def _endpoints(client: Client) -> Iterator[Finding]:
    for endpoint in client.items("/v1/endpoints"):
        name = f"endpoint {endpoint['id']}"
        lag = client.get(f"/v1/endpoints/{endpoint['id']}/lag")
        behind = ", ".join(f"{field} {value}" for field, value in lag.items() if value is not None)
        if endpoint["state"] == "paused":
            yield Finding.ill(
                name,
                f"paused; {behind}",
                f"POST /v1/endpoints/{endpoint['id']}/resume when its owner is ready.",
            )
        elif lag["oldest_s"] > _LATE_AFTER_S:
            yield Finding.ill(
                name,
                f"stuck: {behind}",
                f"GET /v1/endpoints/{endpoint['id']}/deliveries says what {endpoint['url']} "
                "answers; tell its owner. Nothing is lost for three days.",
            )
        else:
            yield Finding.well(name, behind)
