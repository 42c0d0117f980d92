"""Rewards at a desk: what the ledger recorded goes in by hand, what it is asked for comes out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from services.rewards.application import Programmes
from services.rewards.consumer import AwardsProjector
from services.runtime.clock import rfc3339
from services.runtime.contracts import Contract
from services.runtime.database import Database
from services.runtime.footing import Footing
from services.runtime.ownership import Ownership
from services.runtime.stream import Message, Record, partition_of
from tests.support.scripted import ScriptedStream

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
PARTITIONS = 3
GROCER = """\
programme: grocer
currency: USD
time_zone: America/New_York
units:
  points: {expires_after: P12M}
rules:
  base:
    on: purchase
    earn: {unit: points, points: 1, per: "10.00"}
"""


class RewardsDesk:
    """A projector on a database, a scripted stream, and a clock that stands still."""

    def __init__(
        self, database: Database, *, stream: ScriptedStream | None = None, name: str = "rewards-1"
    ) -> None:
        self.database = database
        self.now = START
        self.stream = stream or ScriptedStream(partitions=PARTITIONS)
        self.footing = Footing(
            database=database,
            stream=self.stream,
            ownership=Ownership(
                database, lambda: self.now, owner=name, lease=timedelta(seconds=10)
            ),
            clock=lambda: self.now,
        )
        self.programmes = Programmes(database, self.footing.clock)
        self.projector = AwardsProjector(self.footing)
        self._position = 0

    def adopt(self, written: str = GROCER) -> int:
        """Let this document hold from now on; returns its version."""
        return self.programmes.adopt(written.encode(), "application/yaml").stored.version

    def fold(self, *pages: Sequence[Record]) -> None:
        """Let the projector have these pages, just as they are."""
        self.stream.play(*pages)
        self.projector.run(self.stream.stop)

    def asked(self) -> list[dict[str, Any]]:
        """The commands on ``intake`` so far, each as its contract says."""
        found = [json.loads(m.value) for topic, m in self.stream.appended if topic == "intake"]
        for command in found:
            name = command["type"].removeprefix("stampbook.")
            assert Contract.of("commands/envelope").errors(command) == []
            assert Contract.of(f"commands/{name}").errors(command["data"]) == []
        return found

    def kept(self) -> dict[str, tuple[str, str, int, dict[str, int]]]:
        """What is noted of each purchase."""
        with self.database.read() as connection:
            found = connection.rows(
                "SELECT purchase, member, currency, kept_minor, versions FROM purchases"
            )
        return {key: (*row, json.loads(versions)) for key, *row, versions in found}

    def purchase(
        self,
        id_: str = "b1",
        *amounts_minor: int,
        member: str | None = "1130",
        merchant: str = "grocer",
        **changes: Any,
    ) -> Record:
        """A purchase of these lines, as recorded."""
        data = {
            "purchase": id_,
            "purchased_at": "2017-01-01T12:30:27-05:00",
            "currency": "USD",
            "lines": [
                {
                    "line": str(n),
                    "sku": "6602647",
                    "quantity": 2,
                    "amount_minor": minor,
                    "tax_minor": 777,
                }
                for n, minor in enumerate(amounts_minor or (4_237,))
            ],
            "shipping_minor": 5_000,
            **({"member": member} if member else {}),
            **changes,
        }
        return self._record(
            "purchase.recorded", data, at=data["purchased_at"], member=member, merchant=merchant
        )

    def claimed(
        self,
        id_: str = "b1",
        amount_minor: int = 4_237,
        *,
        returned_minor: int = 0,
        member: str = "1130",
        **changes: Any,
    ) -> Record:
        """A stranger's purchase, claimed, as recorded."""
        data = {
            "purchase": id_,
            "purchased_at": "2017-01-01T12:30:27-05:00",
            "currency": "USD",
            "lines": [{"line": "0", "sku": "milk", "quantity": 2, "amount_minor": amount_minor}],
            "recorded_at": rfc3339(self.now),
            "returned": [{"line": "0", "quantity": 1, "amount_minor": returned_minor}],
            "returned_minor": returned_minor,
            **changes,
        }
        return self._record("purchase.claimed", data, at=rfc3339(self.now), member=member)

    def return_(
        self,
        amount_minor: int,
        *,
        of: str = "b1",
        id_: str = "r1",
        member: str | None = "1130",
    ) -> Record:
        """A return, as recorded."""
        data = {
            "purchase": of,
            "return": id_,
            "returned_at": "2017-02-18T10:05:00-05:00",
            "lines": [{"line": "0", "quantity": 1, "amount_minor": amount_minor}],
            "shipping_minor": 5_000,
            "currency": "USD",
            "amount_minor": amount_minor,
            "purchased_at": "2017-01-01T12:30:27-05:00",
        }
        return self._record("return.recorded", data, at=data["returned_at"], member=member)

    def earned(self, award: dict[str, Any], **changes: Any) -> Record:
        """The points of an award, as recorded."""
        data = {k: v for k, v in award["data"].items() if k not in ("merchant", "member")}
        at = data.pop("earned_at")
        return self._record("points.earned", {**data, **changes}, at=at, member="1130")

    def _record(
        self,
        name: str,
        data: dict[str, Any],
        *,
        at: Any,
        member: str | None,
        merchant: str = "grocer",
    ) -> Record:
        self._position += 1
        event = {
            "specversion": "1.0",
            "id": str(uuid5(NAMESPACE_URL, f"event {self._position}")),
            "source": "/ledger",
            "type": f"stampbook.{name}.v1",
            **({"subject": member} if member else {}),
            "time": at,
            "shard": 0,
            "position": self._position,
            "recordedat": self.now.isoformat(),
            "merchant": merchant,
            "data": data,
        }
        assert Contract.of(f"events/{name}.v1").errors(event) == []
        key = member or data["purchase"]
        value = json.dumps(event).encode()
        return Record(partition_of(key, PARTITIONS), self._position - 1, key, value, (), 0)


def points_by_purchase(commands: Iterable[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """By purchase and unit what a ledger makes of commands, which it counts once each."""
    points: dict[tuple[str, str], int] = {}
    for command in {(c["type"], c["id"]): c["data"] for c in commands}.values():
        name = (command["purchase"], command["unit"])
        sign = -1 if "return" in command else 1
        points[name] = points.get(name, 0) + sign * command["points"]
    return points


def ids(messages: Iterable[Message]) -> list[str]:
    """The ids of commands, in the order in which they were sent."""
    return [json.loads(message.value)["id"] for message in messages]
