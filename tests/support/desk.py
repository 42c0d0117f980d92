"""A ledger's writer at a desk: commands go in by hand, and what it recorded is read back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from services.ledger import history, wire
from services.ledger.clock import ExpiryClock
from services.ledger.consumer import Writer
from services.ledger.intake import ADJUSTMENT_LIMIT, Rules, asked_by, command, key_of
from services.ledger.store.outcomes import Outcome, load_outcomes
from services.runtime.checkpoints import Notary
from services.runtime.database import Database
from services.runtime.eventlog import EventLog
from services.runtime.footing import Footing
from services.runtime.ownership import Ownership
from services.runtime.shards import WHOLE, Share
from services.runtime.stream import Message, Record
from tests.support.scripted import ScriptedStream

START = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Desk:
    """One writer on a database, a scripted stream, and a clock that stands still."""

    def __init__(
        self,
        database: Database,
        *,
        name: str = "writer-1",
        share: Share = WHOLE,
        notary: Notary | None = None,
        adjustment_limit: int = ADJUSTMENT_LIMIT,
    ) -> None:
        self.database = database
        self.now = START
        self.stream = ScriptedStream()
        ownership = Ownership(database, lambda: self.now, owner=name, lease=timedelta(seconds=10))
        self.footing = Footing(
            database=database,
            stream=self.stream,
            ownership=ownership,
            clock=lambda: self.now,
        )
        self.rules = Rules(
            is_accepted_currency=lambda currency: currency == "USD",
            clock=lambda: self.now,
            adjustment_limit=adjustment_limit,
        )
        self.writer = Writer(self.footing, rules=self.rules, share=share, notary=notary)
        self.expiry_clock = ExpiryClock(self.footing, rules=self.rules, share=share)
        self._next_offset = 0

    def record(self, message: Message, *, partition: int = 0) -> Record:
        """The message where it lies on ``intake``; every call is the next place."""
        self._next_offset += 1
        return Record(
            partition, self._next_offset - 1, message.key, message.value, message.headers, 0
        )

    def send(self, *messages: Message) -> None:
        """Let the writer decide these, in one page."""
        self.deliver([self.record(message) for message in messages])

    def deliver(self, *pages: Sequence[Record]) -> None:
        """Let the writer have these pages, just as they are."""
        self.stream.play(*pages)
        self.writer.run(self.stream.stop)

    def tick(self) -> None:
        """Let the clock ask for what is due, and the writer decide it."""
        self.stream.appended.clear()
        self.expiry_clock.tick(self.stream.producer())
        self.send(*(message for _, message in self.stream.appended))

    def events(self) -> list[history.Recorded]:
        """The whole log."""
        with self.database.read() as connection:
            page = EventLog(self.database).page(connection, after=0, limit=1_000_000)
        return [history.decode(raw) for _, raw in page]

    def types(self) -> list[str]:
        """What happened, in short."""
        return [wire.NAMES[type(recorded.event)] for recorded in self.events()]

    def outcome(self, type_: str, id_: str, *, source: str = "grocer") -> Outcome | None:
        """What became of a command."""
        key = key_of(source, type_, id_)
        with self.database.read() as connection:
            return load_outcomes(connection, [key]).get(key)

    def points(self, member: str = "1130") -> int:
        """What the tables say the member can spend now."""
        with self.database.read() as connection:
            [(points,)] = connection.rows(
                "SELECT coalesce(sum(points_left), 0) FROM lots "
                "WHERE member = :member AND expires_at > :now",
                {"member": member, "now": int(self.now.timestamp() * 1_000_000)},
            )
            [(owed,)] = connection.rows(
                "SELECT coalesce(sum(points), 0) FROM debts WHERE stream = :stream",
                {"stream": wire.stream_of(member)},
            )
        return int(points) - int(owed)

    def letters(self) -> list[tuple[str, bytes]]:
        """Reason and original bytes of what was parked."""
        with self.database.read() as connection:
            found = connection.rows("SELECT code, value FROM dead_letters ORDER BY record_offset")
        return [(code, bytes(value)) for code, value in found]

    def command(
        self, type_: str, id_: str, data: dict[str, Any], *, source: str = "grocer"
    ) -> Message:
        """A command as it comes in."""
        made = asked_by(command(source, type_, id_, data, rules=self.rules), "key-1 anna")
        return made.message(data.get("member"))

    def purchase(self, id_: str = "p-1", **changes: object) -> Message:
        line = {"line": "1", "sku": "milk", "quantity": 2, "amount_minor": 5_000}
        data = {
            "member": "1130",
            "purchased_at": "2026-05-01T10:00:00Z",
            "currency": "USD",
            "lines": [line],
            **changes,
        }
        return self.command("purchase", id_, {k: v for k, v in data.items() if v is not None})

    def return_(self, path: str = "p-1/r-1", *, amount_minor: int = 2_500) -> Message:
        line = {"line": "1", "quantity": 1, "amount_minor": amount_minor}
        return self.command(
            "return", path, {"returned_at": "2026-05-01T11:00:00Z", "lines": [line]}
        )

    def award(
        self, points: int = 100, *, purchase: str = "p-1", member: str = "1130", **changes: object
    ) -> Message:
        lot = str(uuid5(NAMESPACE_URL, f"lot of {purchase}"))
        data: dict[str, Any] = {
            "merchant": "grocer",
            "member": member,
            "purchase": purchase,
            "lot": lot,
            "unit": "points",
            "points": points,
            "earned_at": "2026-05-01T10:00:00Z",
            "expires_at": "2027-05-01T10:00:00Z",
            "programme": "grocer",
            "version": 1,
            "rule": "base",
            "arithmetic": {
                "amount_minor": 100 * points,
                "currency": "USD",
                "per_minor": 100,
                "points_each": 1,
            },
            **changes,
        }
        id_ = str(uuid5(NAMESPACE_URL, f"award of {data['lot']} {changes.get('version', 1)}"))
        return self.command("award", id_, data, source="/rewards")

    def take_back(self, points: int, *, purchase: str = "p-1", return_id: str = "r-1") -> Message:
        data = {
            "merchant": "grocer",
            "member": "1130",
            "purchase": purchase,
            "return": return_id,
            "lot": str(uuid5(NAMESPACE_URL, f"lot of {purchase}")),
            "unit": "points",
            "points": points,
            "returned_at": "2026-05-01T11:00:00Z",
            "programme": "grocer",
            "version": 1,
            "rule": "base",
            "arithmetic": {
                "currency": "USD",
                "per_minor": 100,
                "points_each": 1,
                "kept_before_minor": 100 * points,
                "kept_after_minor": 0,
                "points_before": points,
                "points_after": 0,
            },
        }
        id_ = str(uuid5(NAMESPACE_URL, f"taking back {purchase} {return_id}"))
        return self.command("take-back", id_, data, source="/rewards")

    def redemption(self, id_: str, points: int, *, member: str = "1130") -> Message:
        return self.command(
            "redemption", id_, {"member": member, "unit": "points", "points": points}
        )

    def reversal(self, id_: str, points: int | None = None) -> Message:
        return self.command("reversal", id_, {} if points is None else {"points": points})
