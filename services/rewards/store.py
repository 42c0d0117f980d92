"""The tables of rewards: programmes by version, and what the awards of purchases rest on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.rewards.domain.awards import Purchase
from services.rewards.domain.programme import Programme, understand
from services.rewards.domain.schedule import Activation, version_for_purchase
from services.runtime.clock import from_micros, micros
from services.runtime.database import Connection, Row

_VERSION_COLUMNS = (
    "programme",
    "version",
    "written",
    "media_type",
    "document",
    "fingerprint",
    "created_at",
    "activated_at",
    "retired_at",
)
_VERSIONS = f"SELECT {', '.join(_VERSION_COLUMNS)} FROM programme_versions"  # noqa: S608
_PURCHASE_COLUMNS = ("purchase", "member", "currency", "kept_minor", "versions")
_PURCHASES = f"SELECT {', '.join(_PURCHASE_COLUMNS)} FROM purchases WHERE purchase IN :keys"  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """One version of a programme, as written and as understood, and its time."""

    programme: str
    version: int
    written: str
    media_type: str
    document: bytes  # canonical JSON
    fingerprint: bytes
    created_at: datetime
    activated_at: datetime | None = None
    retired_at: datetime | None = None

    @property
    def activation(self) -> Activation | None:
        """When it holds; None: a draft."""
        if self.activated_at is None:
            return None
        return Activation(
            version=self.version, activated_at=self.activated_at, retired_at=self.retired_at
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPurchase:
    """What a later return of this purchase needs to know of it."""

    member: str
    currency: str
    kept_minor: int
    versions: Mapping[str, int]  # by programme


def lock_programmes(connection: Connection) -> None:
    """Let one change of programmes at a time go on: facts about them are numbered in order."""
    connection.execute("UPDATE log_head SET position = position")


def find_version(connection: Connection, programme: str, version: int) -> StoredVersion | None:
    """One version."""
    row = connection.row(
        f"{_VERSIONS} WHERE programme = :programme AND version = :version",
        {"programme": programme, "version": version},
    )
    return _version(row) if row else None


def list_versions(connection: Connection, programmes: Sequence[str]) -> list[StoredVersion]:
    """All versions of these programmes, oldest first."""
    found = connection.pick(f"{_VERSIONS} WHERE programme IN :keys", programmes)
    return sorted(map(_version, found), key=lambda stored: (stored.programme, stored.version))


def list_programmes(connection: Connection, *, after: str, limit: int) -> list[str]:
    """Names of programmes, in their order."""
    found = connection.rows(
        "SELECT DISTINCT programme FROM programme_versions WHERE programme > :after "
        "ORDER BY programme LIMIT :limit",
        {"after": after, "limit": limit},
    )
    return [programme for (programme,) in found]


def save_version(connection: Connection, stored: StoredVersion) -> None:
    """Write down a version, or its new time."""
    row = (
        stored.programme,
        stored.version,
        stored.written,
        stored.media_type,
        stored.document.decode(),
        stored.fingerprint,
        micros(stored.created_at),
        _micros_or_none(stored.activated_at),
        _micros_or_none(stored.retired_at),
    )
    connection.upsert("programme_versions", _VERSION_COLUMNS, [row], key=("programme", "version"))


def load_purchases(connection: Connection, keys: Iterable[str]) -> dict[str, KeptPurchase]:
    """Those of these purchases that are known, by ``merchant/purchase``."""
    found = connection.pick(_PURCHASES, list(keys))
    return {
        key: KeptPurchase(
            member=member,
            currency=currency,
            kept_minor=kept_minor,
            versions=msgspec.json.decode(versions),
        )
        for key, member, currency, kept_minor, versions in found
    }


def save_purchases(connection: Connection, purchases: Mapping[str, KeptPurchase]) -> None:
    """Write down new and changed purchases, in one statement."""
    rows: list[Row] = [
        (
            key,
            kept.member,
            kept.currency,
            kept.kept_minor,
            msgspec.json.encode(kept.versions).decode(),
        )
        for key, kept in purchases.items()
    ]
    connection.upsert("purchases", _PURCHASE_COLUMNS, rows, key=("purchase",))


class Rulebook:
    """Every version that has a time of its own, each understood once.

    Another process may activate a version at any moment: look before every page.
    """

    def __init__(self) -> None:
        self._activations: Mapping[str, Sequence[Activation]] = {}
        self._understood: dict[tuple[str, int], Programme] = {}

    def look(self, connection: Connection) -> None:
        """Take in what was activated or retired since."""
        found = connection.rows(
            "SELECT programme, version, activated_at, retired_at FROM programme_versions "
            "WHERE activated_at IS NOT NULL ORDER BY programme, version"
        )
        activations: defaultdict[str, list[Activation]] = defaultdict(list)
        for programme, version, activated_at, retired_at in found:
            activations[programme].append(
                Activation(
                    version=version,
                    activated_at=from_micros(activated_at),
                    retired_at=None if retired_at is None else from_micros(retired_at),
                )
            )
            if (programme, version) not in self._understood:
                stored = find_version(connection, programme, version)
                assert stored is not None, "this transaction has just seen it"
                document = msgspec.json.decode(stored.document)
                self._understood[programme, version] = understand(document, version=version)
        self._activations = activations

    def programmes(self, versions: Mapping[str, int]) -> list[Programme]:
        """These versions, by name of their programme."""
        return [self._understood[key] for key in sorted(versions.items())]

    def programmes_for(
        self, purchase: Purchase, *, currency: str, recorded_at: datetime
    ) -> list[Programme]:
        """The versions whose rules a purchase falls under, by name of their programme."""
        versions = {
            name: version_for_purchase(
                activations, purchased_at=purchase.purchased_at, recorded_at=recorded_at
            )
            for name, activations in self._activations.items()
        }
        held = {name: version for name, version in versions.items() if version is not None}
        return [
            programme
            for programme in self.programmes(held)
            if programme.holds_for(merchant=purchase.merchant, currency=currency)
        ]


def _version(row: Row) -> StoredVersion:
    return StoredVersion(
        programme=row[0],
        version=row[1],
        written=row[2],
        media_type=row[3],
        document=row[4].encode(),
        fingerprint=bytes(row[5]),
        created_at=from_micros(row[6]),
        activated_at=None if row[7] is None else from_micros(row[7]),
        retired_at=None if row[8] is None else from_micros(row[8]),
    )


def _micros_or_none(at: datetime | None) -> int | None:
    return None if at is None else micros(at)
