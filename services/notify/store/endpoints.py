"""Endpoints in their table, and the registry row that orders every change of them.

Whoever changes what an endpoint receives locks the registry first, then rows of the feed, then
lines: one order for everybody, so that nobody waits in a circle.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from services.notify.domain.endpoints import Endpoint, EndpointState, Ordering
from services.notify.domain.retries import Health
from services.runtime.clock import from_micros, micros
from services.runtime.database import Connection, Row

OPERATOR = ""  # the owner of the operator's own endpoints; no merchant's id is empty

_SELECT = """
SELECT number, owner, id, url, types, ordering, state, secret, began_after, created_at,
       failures, failing_since
FROM endpoints WHERE removed_at IS NULL
"""
_ADD = """
INSERT INTO endpoints VALUES (
    :number, :owner, :id, :url, :types, :ordering, :state, :secret, :began_after, :created_at,
    NULL, 0, NULL, 0
)
"""
_CHANGE = """
UPDATE endpoints SET url = :url, types = :types, ordering = :ordering WHERE number = :number
"""
_REMOVE = "UPDATE endpoints SET removed_at = :now, secret = '' WHERE number = :number"
_SAVE_HEALTH = """
UPDATE endpoints SET failures = :failures, failing_since = :failing_since WHERE number = :number
"""


def lock_registry(connection: Connection) -> None:
    """Be the only one who changes endpoints, until this transaction ends; tells all readers."""
    connection.execute("UPDATE registry SET generation = generation + 1")


def generation(connection: Connection) -> int:
    """Grows with every change."""
    [(found,)] = connection.rows("SELECT generation FROM registry")
    return int(found)


def find(connection: Connection, *, owner: str, endpoint_id: str) -> Endpoint | None:
    """The owner's endpoint of this id."""
    row = connection.row(
        f"{_SELECT} AND owner = :owner AND id = :id", {"owner": owner, "id": endpoint_id}
    )
    return _endpoint(row) if row else None


def page_of_owner(connection: Connection, *, owner: str, after: str, limit: int) -> list[Endpoint]:
    """The owner's endpoints, by id."""
    found = connection.rows(
        f"{_SELECT} AND owner = :owner AND id > :after ORDER BY id LIMIT :limit",
        {"owner": owner, "after": after, "limit": limit},
    )
    return [_endpoint(row) for row in found]


def everybodys(connection: Connection) -> list[Endpoint]:
    """All endpoints there are."""
    return [_endpoint(row) for row in connection.rows(f"{_SELECT} ORDER BY number")]


def forgotten_position(connection: Connection, number: int) -> int:
    """Up to here, deliveries that ended may have been pruned; 0: none was."""
    [(found,)] = connection.rows(
        "SELECT forgotten_position FROM endpoints WHERE number = :number", {"number": number}
    )
    return int(found)


def next_number(connection: Connection) -> int:
    """A number that no endpoint ever had; the registry is locked."""
    [(number,)] = connection.rows("SELECT coalesce(max(number), 0) + 1 FROM endpoints")
    return int(number)


def add(connection: Connection, endpoint: Endpoint) -> None:
    """Write down a new endpoint; nobody has called it yet."""
    connection.execute(
        _ADD,
        {
            "number": endpoint.number,
            "owner": endpoint.owner,
            "id": endpoint.id,
            "url": endpoint.url,
            "types": msgspec.json.encode(endpoint.types).decode(),
            "ordering": endpoint.ordering.value,
            "state": endpoint.state.value,
            "secret": endpoint.secret,
            "began_after": endpoint.began_after,
            "created_at": micros(endpoint.created_at),
        },
    )


def change(
    connection: Connection, number: int, *, url: str, types: tuple[str, ...], ordering: Ordering
) -> None:
    """Change what its owner may change; what is queued stays queued."""
    connection.execute(
        _CHANGE,
        {
            "number": number,
            "url": url,
            "types": msgspec.json.encode(types).decode(),
            "ordering": ordering.value,
        },
    )


def set_state(connection: Connection, number: int, state: EndpointState) -> None:
    """Pause or resume."""
    connection.execute(
        "UPDATE endpoints SET state = :state WHERE number = :number",
        {"number": number, "state": state.value},
    )


def remove(connection: Connection, number: int, *, now: datetime) -> None:
    """Take it away; its secret is forgotten at once, its deliveries in the background."""
    connection.execute(_REMOVE, {"number": number, "now": micros(now)})


def save_health(connection: Connection, number: int, health: Health) -> None:
    """Write down how it answers, for people and for the next dispatcher."""
    since = health.failing_since
    connection.execute(
        _SAVE_HEALTH,
        {
            "number": number,
            "failures": health.failures,
            "failing_since": micros(since) if since else None,
        },
    )


def _endpoint(row: Row) -> Endpoint:
    (number, owner, endpoint_id, url, types, ordering, state, secret) = row[:8]
    began_after, created_at, failures, failing_since = row[8:]
    return Endpoint(
        number=number,
        owner=owner,
        id=endpoint_id,
        url=url,
        types=tuple(msgspec.json.decode(types)),
        ordering=Ordering(ordering),
        state=EndpointState(state),
        secret=secret,
        began_after=began_after,
        created_at=from_micros(created_at),
        health=Health(
            failures=failures,
            failing_since=None if failing_since is None else from_micros(failing_since),
        ),
    )
