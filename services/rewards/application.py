"""What can be done with programmes: write a version down, give it its time, look it up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from services.rewards.document import Document, read
from services.rewards.domain.errors import (
    AlreadyActivated,
    InThePast,
    NotActivated,
    UnknownProgramme,
    UnknownVersion,
    VersionRetired,
    VersionReused,
)
from services.rewards.domain.schedule import Activation, State, state_of, version_in_force
from services.rewards.store import (
    StoredVersion,
    find_version,
    list_programmes,
    list_versions,
    lock_programmes,
    save_version,
)
from services.runtime.clock import Clock, rfc3339
from services.runtime.contracts import fingerprint
from services.runtime.database import Connection, Database
from services.runtime.eventlog import Entry, EventLog

_NAMESPACE = UUID("b7c9a6a4-7c35-5f2f-8d0e-5f6f8f7a1d20")
_SHARD = 0


@dataclass(frozen=True, slots=True)
class VersionNow:
    """A version and where it stands now."""

    stored: StoredVersion
    state: State


@dataclass(frozen=True, slots=True)
class Overview:
    """A programme: all its versions, and the one that holds now."""

    programme: str
    in_force: int | None
    versions: tuple[VersionNow, ...]  # oldest first


class Programmes:
    """All programmes of an installation. Every method is one transaction."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._log = EventLog(database)

    def write_down(
        self, programme: str, version: int, text: bytes, media_type: str
    ) -> tuple[VersionNow, bool]:
        """Add a version; says whether it is new. The same again changes nothing.

        Raises:
            NotText: the text does not parse.
            NotAProgramme: with every fault.
            VersionReused: the version says something else already.
        """
        draft = self._draft(read(text, media_type, programme=programme), version)
        with self._database.write() as connection:
            lock_programmes(connection)
            existing = find_version(connection, programme, version)
            if existing is None:
                save_version(connection, draft)
            elif existing.fingerprint != draft.fingerprint:
                raise VersionReused(programme, version)
            return self._now(connection, existing or draft), existing is None

    def activate(self, programme: str, version: int, *, at: datetime | None = None) -> VersionNow:
        """Let a version hold from an instant on, now if none is named. Again changes nothing.

        Raises:
            UnknownVersion: there is none.
            AlreadyActivated: from another instant on.
            VersionRetired: it has its end already.
            InThePast: that instant.
        """
        with self._database.write() as connection:
            lock_programmes(connection)
            stored = _known(connection, programme, version)
            if stored.activated_at is None:
                stored = self._activated(connection, stored, self._whole_second(at))
            elif at is not None and at != stored.activated_at:
                raise AlreadyActivated(activated_at=stored.activated_at)
            elif stored.retired_at is not None and stored.retired_at <= self._clock():
                raise VersionRetired(retired_at=stored.retired_at)
            return self._now(connection, stored)

    def retire(self, programme: str, version: int, *, at: datetime | None = None) -> VersionNow:
        """Let a version hold no longer, and no earlier one in its place. Again changes nothing.

        Raises:
            UnknownVersion: there is none.
            NotActivated: it never held.
            VersionRetired: from another instant on.
            InThePast: that instant.
        """
        with self._database.write() as connection:
            lock_programmes(connection)
            stored = _known(connection, programme, version)
            if stored.activated_at is None:
                raise NotActivated("it was never activated")
            if stored.retired_at is None:
                retired_at = self._whole_second(at)
                stored = replace(stored, retired_at=retired_at)
                save_version(connection, stored)
                self._record(connection, "retired", stored, retired_at)
            elif at is not None and at != stored.retired_at:
                raise VersionRetired(retired_at=stored.retired_at)
            return self._now(connection, stored)

    def adopt(self, text: bytes, media_type: str) -> VersionNow:
        """Make a document's rules hold now, as ``up --programme FILE`` does.

        What was activated last and says the same stays as it is, even if it was retired since;
        anything else becomes the next version.

        Raises:
            NotText: the text does not parse.
            NotAProgramme: with every fault.
        """
        draft = self._draft(read(text, media_type), version=1)
        with self._database.write() as connection:
            lock_programmes(connection)
            versions = list_versions(connection, [draft.programme])
            timed = [(v.activated_at, v.version, v) for v in versions if v.activated_at is not None]
            newest = max(timed, default=None, key=lambda each: each[:2])
            if newest is not None and newest[2].fingerprint == draft.fingerprint:
                return self._now(connection, newest[2])
            number = max((v.version for v in versions), default=0) + 1
            stored = self._activated(
                connection, replace(draft, version=number), self._whole_second(None)
            )
            return self._now(connection, stored)

    def find(self, programme: str, version: int) -> VersionNow:
        """One version.

        Raises:
            UnknownVersion: there is none.
        """
        with self._database.read() as connection:
            return self._now(connection, _known(connection, programme, version))

    def overview(self, programme: str) -> Overview:
        """One programme.

        Raises:
            UnknownProgramme: there is none.
        """
        with self._database.read() as connection:
            versions = list_versions(connection, [programme])
        if not versions:
            raise UnknownProgramme(programme)
        return self._overview(programme, versions)

    def page(self, *, after: str, limit: int) -> list[Overview]:
        """Programmes by name."""
        with self._database.read() as connection:
            names = list_programmes(connection, after=after, limit=limit)
            versions = list_versions(connection, names)
        return [
            self._overview(name, [v for v in versions if v.programme == name]) for name in names
        ]

    def currencies(self) -> frozenset[str]:
        """The currencies of all programmes that hold now or will: what a shop's till may send."""
        found: set[str] = set()
        after = ""
        while page := self.page(after=after, limit=1_000):
            after = page[-1].programme
            for overview in page:
                found |= {
                    msgspec.json.decode(version.stored.document)["currency"]
                    for version in overview.versions
                    if version.state in (State.ACTIVE, State.SCHEDULED)
                }
        return frozenset(found)

    def _draft(self, document: Document, version: int) -> StoredVersion:
        return StoredVersion(
            programme=document.programme,
            version=version,
            written=document.written,
            media_type=document.media_type,
            document=document.content,
            fingerprint=fingerprint(document.content),
            created_at=self._clock(),
        )

    def _whole_second(self, at: datetime | None) -> datetime:
        """The instant asked for, or now; now is cut to the second, as clocks differ by less."""
        now = self._clock()
        if at is not None and at < now.replace(microsecond=0):
            raise InThePast(asked_at=at, now=now)
        return now.replace(microsecond=0) if at is None else at

    def _activated(
        self, connection: Connection, stored: StoredVersion, at: datetime
    ) -> StoredVersion:
        stored = replace(stored, activated_at=at)
        save_version(connection, stored)
        self._record(connection, "activated", stored, at)
        return stored

    def _record(
        self, connection: Connection, what: str, stored: StoredVersion, at: datetime
    ) -> None:
        """Write a fact into the log, in the transaction that makes it true."""
        head = self._log.head(connection)
        stream = f"programme/{stored.programme}"
        [(version,)] = connection.rows(
            "SELECT count(*) FROM events WHERE stream = :stream", {"stream": stream}
        )
        # Not the id of the place in the log: the ledger's log has the same places.
        event_id = uuid5(_NAMESPACE, f"{stored.programme}/{stored.version}/{what}")
        type_ = f"stampbook.programme.{what}.v1"
        event = {
            "specversion": "1.0",
            "id": str(event_id),
            "source": "/rewards",
            "type": type_,
            "time": rfc3339(at),
            "shard": _SHARD,
            "position": head.position + 1,
            "recordedat": rfc3339(self._clock()),
            "data": {
                "programme": stored.programme,
                "version": stored.version,
                "at": rfc3339(at),
            },
        }
        entry = Entry(
            stream=stream,
            version=version + 1,
            type=type_,
            event_id=event_id.bytes,
            event=msgspec.json.encode(event),
        )
        self._log.append(connection, head, [entry])

    def _now(self, connection: Connection, stored: StoredVersion) -> VersionNow:
        activations = _activations(list_versions(connection, [stored.programme]))
        return VersionNow(stored, state_of(stored.version, activations, now=self._clock()))

    def _overview(self, programme: str, versions: Sequence[StoredVersion]) -> Overview:
        now = self._clock()
        activations = _activations(versions)
        return Overview(
            programme,
            version_in_force(activations, at=now),
            tuple(VersionNow(v, state_of(v.version, activations, now=now)) for v in versions),
        )


def _known(connection: Connection, programme: str, version: int) -> StoredVersion:
    stored = find_version(connection, programme, version)
    if stored is None:
        raise UnknownVersion(programme, version)
    return stored


def _activations(versions: Sequence[StoredVersion]) -> list[Activation]:
    return [v.activation for v in versions if v.activation is not None]
