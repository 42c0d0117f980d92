"""What the demo asks of the server, by its public doors only."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from services.runtime.clock import parse_rfc3339
from stampbook.client import Client
from stampbook.demo_purchases import Purchase
from stampbook.failures import Failure, Refused
from stampbook.import_journal import Counts
from stampbook.import_sender import Sender
from stampbook.import_source import Line

PATIENCE_S = 60.0
UNIT = "points"
_BATCH_LINES = 100
_LOOK_EVERY_S = 0.05


class Server:
    """A client's questions, answered."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def purchased_at(self, id_: str) -> datetime | None:
        """When a purchase was made, if the server knows it."""
        try:
            return parse_rfc3339(self._client.get(f"/v1/purchases/{id_}")["purchased_at"])
        except Refused:
            return None

    def feed(self, purchases: list[Purchase], console: Console) -> Counts:
        """Send purchases in batches, with a progress bar."""
        counts = Counts()
        sender = Sender(self._client, patience_s=PATIENCE_S)
        bar = Progress(
            "   Feeding",
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        with bar:
            task = bar.add_task("", total=len(purchases))
            for first in range(0, len(purchases), _BATCH_LINES):
                batch = purchases[first : first + _BATCH_LINES]
                lines = [Line(n, msgspec.json.encode(each)) for n, each in enumerate(batch)]
                for answer in sender.decide(lines):
                    is_recorded = answer.outcome == "recorded"
                    counts.recorded += is_recorded and not answer.repeated
                    counts.repeated += is_recorded and answer.repeated
                    counts.refused += not is_recorded
                bar.update(task, advance=len(batch))
        return counts

    def balance(self, member: str) -> Mapping[str, Any]:
        """What a member has."""
        balances = self._client.get(f"/v1/members/{member}/balances")["balances"]
        found: Mapping[str, Any] = next(each for each in balances if each["unit"] == UNIT)
        return found

    def entry(self, member: str, type_: str, **named: str) -> Mapping[str, Any]:
        """The newest entry of this type; awards follow their purchase within moments."""
        for _ in _tries():
            try:
                entries = list(self._client.items(f"/v1/members/{member}/entries"))
            except Refused as refused:
                if refused.code != "unknown-member":
                    raise
                continue
            for entry in reversed(entries):
                if entry["type"] == type_ and named.items() <= entry.items():
                    found: Mapping[str, Any] = entry
                    return found
        raise Failure(f"No {type_} of member {member} came within {PATIENCE_S:g} s.")

    def why(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """Why an entry stands there."""
        why: Mapping[str, Any] = self._client.get(f"/v1/entries/{entry['id']}/why")
        return why


def _tries() -> Iterator[None]:
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        yield
        time.sleep(_LOOK_EVERY_S)
