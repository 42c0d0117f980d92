"""What could not be read: kept with the reason, the original bytes and the place it lay."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid5

from services.runtime.clock import from_micros, micros
from services.runtime.database import Connection, Row
from services.runtime.stream import Message, Record

TOPIC = "dead-letters"
_NAMESPACE = UUID("f3b1c8f2-0b57-5a41-8f0c-6a9e6f4b3d10")
_COLUMNS = (
    "id",
    "topic",
    "partition",
    "record_offset",
    "record_key",
    "value",
    "headers",
    "code",
    "detail",
    "errors",
    "parked_at",
    "state",
    "reason",
    "published",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that was set aside."""

    id: UUID  # derived from topic, partition and offset
    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    code: str
    detail: str
    errors: tuple[Mapping[str, object], ...]
    parked_at: datetime
    state: str = "parked"  # parked, retried or dropped
    reason: str | None = None

    @classmethod
    def of(
        cls,
        topic: str,
        record: Record,
        *,
        code: str,
        detail: str,
        parked_at: datetime,
        errors: Sequence[Mapping[str, object]] = (),
    ) -> DeadLetter:
        """The letter for a record, the same every time it is read."""
        return cls(
            id=uuid5(_NAMESPACE, f"{topic}/{record.partition}/{record.offset}"),
            topic=topic,
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
            headers=record.headers,
            code=code,
            detail=detail,
            errors=tuple(errors),
            parked_at=parked_at,
        )

    def message(self) -> Message:
        """As it stands on topic ``dead-letters``: the original bytes, the reason in headers."""
        return Message(
            key=self.key,
            value=self.value,
            headers=(
                *self.headers,
                ("deadletter-id", str(self.id).encode()),
                ("deadletter-code", self.code.encode()),
                ("deadletter-detail", self.detail.encode()),
                ("deadletter-errors", json.dumps(self.errors).encode()),
                ("deadletter-topic", self.topic.encode()),
                ("deadletter-partition", b"%d" % self.partition),
                ("deadletter-offset", b"%d" % self.offset),
            ),
        )


def park(connection: Connection, letter: DeadLetter) -> None:
    """Keep a record that cannot be used; parking it twice keeps it once."""
    headers = json.dumps([[name, b64encode(value).decode()] for name, value in letter.headers])
    connection.upsert(
        "dead_letters",
        _COLUMNS,
        [
            (
                letter.id.bytes,
                letter.topic,
                letter.partition,
                letter.offset,
                # PostgreSQL's text cannot hold a NUL, which a key may.
                letter.key.replace("\0", "\N{REPLACEMENT CHARACTER}"),
                letter.value,
                headers,
                letter.code,
                letter.detail.replace("\0", "\N{REPLACEMENT CHARACTER}"),
                json.dumps(letter.errors),
                micros(letter.parked_at),
                letter.state,
                letter.reason,
                0,
            )
        ],
        key=("id",),
    )


def list_letters(
    connection: Connection, *, after: UUID | None, limit: int, state: str = "parked"
) -> list[DeadLetter]:
    """Letters in the order of their ids, which no new letter changes."""
    found = connection.rows(
        f"SELECT {', '.join(_COLUMNS)} FROM dead_letters "  # noqa: S608
        "WHERE state = :state AND id > :after ORDER BY id LIMIT :limit",
        {"state": state, "after": after.bytes if after else b"", "limit": limit},
    )
    return [_letter(row) for row in found]


def find_letter(connection: Connection, letter_id: UUID) -> DeadLetter | None:
    """One letter, whatever became of it."""
    row = connection.row(
        f"SELECT {', '.join(_COLUMNS)} FROM dead_letters WHERE id = :id",  # noqa: S608
        {"id": letter_id.bytes},
    )
    return _letter(row) if row else None


def unpublished_letters(connection: Connection, *, limit: int) -> list[DeadLetter]:
    """Letters that topic ``dead-letters`` does not hold yet."""
    found = connection.rows(
        f"SELECT {', '.join(_COLUMNS)} FROM dead_letters "  # noqa: S608
        "WHERE published = 0 ORDER BY parked_at, id LIMIT :limit",
        {"limit": limit},
    )
    return [_letter(row) for row in found]


def mark_published(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """Note that these are on the topic."""
    connection.execute_many(
        "UPDATE dead_letters SET published = 1 WHERE id = :id",
        [{"id": letter.id.bytes} for letter in letters],
    )


def settle(
    connection: Connection, letter: DeadLetter, *, state: str, reason: str | None = None
) -> DeadLetter:
    """Note what an operator did with a letter: ``retried`` or ``dropped``."""
    connection.execute(
        "UPDATE dead_letters SET state = :state, reason = :reason WHERE id = :id",
        {"id": letter.id.bytes, "state": state, "reason": reason},
    )
    return replace(letter, state=state, reason=reason)


def _letter(row: Row) -> DeadLetter:
    return DeadLetter(
        id=UUID(bytes=bytes(row[0])),
        topic=row[1],
        partition=row[2],
        offset=row[3],
        key=row[4],
        value=bytes(row[5]),
        headers=tuple((name, b64decode(value)) for name, value in json.loads(row[6])),
        code=row[7],
        detail=row[8],
        errors=tuple(json.loads(row[9])),
        parked_at=from_micros(row[10]),
        state=row[11],
        reason=row[12],
    )
