"""Who may act on what: leases with an epoch, and the positions that readers have reached.

A lease tells others when to take over; it protects nothing by itself, for a stalled owner may
wake up late. The epoch protects: it grows at every take-over, and a commit that confirms an
older one fails. (Kafka's own group generations cannot do this, see docs/adr/.)
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from services.runtime.clock import Clock, micros
from services.runtime.database import Connection, Database

_LOG = logging.getLogger(__name__)
_TAKE = """
INSERT INTO owners (name, epoch, owner, lease_until) VALUES (:name, 1, :owner, :lease_until)
ON CONFLICT (name) DO UPDATE
SET epoch = owners.epoch + 1, owner = excluded.owner, lease_until = excluded.lease_until
WHERE owners.lease_until <= :now OR owners.owner = :owner
"""
_EXTEND = """
UPDATE owners SET lease_until = :lease_until WHERE name = :name AND epoch = :epoch
"""
_HELD = "SELECT owner, lease_until FROM owners WHERE name = :name"
_LEASES_UNTIL_CUT_OFF = 2  # after the end of one: a slow transaction is not a dead one
_MICROSECOND = timedelta(microseconds=1)
_SAVE_COLUMNS = ("name", "partition", "next_offset", "last_position")


class Fenced(Exception):
    """Somebody else owns it now; nothing that this owner still has in hand may be written."""


@dataclass(frozen=True, slots=True)
class Term:
    """One owner's time with a name."""

    name: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Place:
    """How far a reader is in one partition."""

    next_offset: int = 0
    last_position: int = 0  # 0: it has seen no event of the log yet


class Ownership:
    """Takes, keeps and gives back names for one instance.

    An instance that comes back under its own name need not wait for its old lease to end.
    """

    def __init__(self, database: Database, clock: Clock, *, owner: str, lease: timedelta) -> None:
        self.owner = owner
        self.lease = lease
        self._database = database
        self._clock = clock

    def acquire(self, name: str) -> Term | None:
        """Become the owner, or None while another's lease runs."""
        if not self._is_free(name):
            return None
        with self._database.write() as connection:
            now = self._clock()
            taken = connection.execute(
                _TAKE,
                {
                    "name": name,
                    "owner": self.owner,
                    "now": micros(now),
                    "lease_until": micros(now + self.lease),
                },
            )
            if not taken:
                return None
            [(epoch,)] = connection.rows(
                "SELECT epoch FROM owners WHERE name = :name", {"name": name}
            )
        return Term(name, epoch)

    def _is_free(self, name: str) -> bool:
        """Whether it may be taken now; asks without waiting for the owner's transaction.

        An owner that stands still inside one holds the row for as long as its connection lives, and
        inside COPY no timeout of the database reaches it. So it is disconnected.
        """
        with self._database.read() as connection:
            held = connection.row(_HELD, {"name": name})
            if held is None or held[0] == self.owner:
                return True
            late = micros(self._clock()) - held[1]
            if late < 0:
                return False
            holder = connection.holder_of("owners", "name", name)
            if holder is not None and late >= _LEASES_UNTIL_CUT_OFF * (self.lease // _MICROSECOND):
                _LOG.warning("cuts off who stands still", extra={"owner": held[0], "owned": name})
                connection.cut_off(holder)
        return holder is None

    def confirm(self, connection: Connection, term: Term) -> None:
        """Extend the lease inside a transaction; whoever takes over waits for its end.

        Raises:
            Fenced: the epoch has moved on.
        """
        lease_until = micros(self._clock() + self.lease)
        if not connection.execute(
            _EXTEND, {"name": term.name, "epoch": term.epoch, "lease_until": lease_until}
        ):
            raise Fenced(f"{self.owner} no longer owns {term.name} (epoch {term.epoch})")

    def renew(self, term: Term) -> None:
        """Extend the lease.

        Raises:
            Fenced: the epoch has moved on.
        """
        with self._database.write() as connection:
            self.confirm(connection, term)

    def renew_all(self, terms: Iterable[Term]) -> set[str]:
        """Extend several leases in one transaction; returns the names that are still owned."""
        with self._database.write() as connection:
            lease_until = micros(self._clock() + self.lease)
            return {
                term.name
                for term in terms
                if connection.execute(
                    _EXTEND, {"name": term.name, "epoch": term.epoch, "lease_until": lease_until}
                )
            }

    def release(self, term: Term) -> None:
        """Let the next one in at once; does nothing when it is somebody else's already."""
        with self._database.write() as connection:
            connection.execute(_EXTEND, {"name": term.name, "epoch": term.epoch, "lease_until": 0})

    def owners_alive(self, prefix: str) -> set[str]:
        """The instances that hold any name with this prefix."""
        with self._database.read() as connection:
            found = connection.rows(
                "SELECT DISTINCT owner FROM owners "
                "WHERE lease_until > :now AND substr(name, 1, :length) = :prefix",
                {"now": micros(self._clock()), "length": len(prefix), "prefix": prefix},
            )
        return {owner for (owner,) in found}


def load_places(connection: Connection, name: str) -> dict[int, Place]:
    """Where a reader stands, by partition."""
    found = connection.rows(
        "SELECT partition, next_offset, last_position FROM positions WHERE name = :name",
        {"name": name},
    )
    return {partition: Place(offset, position) for partition, offset, position in found}


def save_places(connection: Connection, name: str, places: Mapping[int, Place]) -> None:
    """Move a reader on, in the transaction that holds what it did."""
    connection.upsert(
        "positions",
        _SAVE_COLUMNS,
        [(name, n, place.next_offset, place.last_position) for n, place in places.items()],
        key=("name", "partition"),
    )
