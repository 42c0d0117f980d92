"""Every way in which rewards says no. The docstring is the title that users read.

Refused
├── UnknownProgramme
├── UnknownVersion
├── VersionReused
├── AlreadyActivated
├── NotActivated
├── VersionRetired
├── InThePast
└── NotAProgramme
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar


class Refused(Exception):
    """Rewards declined."""

    code: ClassVar[str]


class UnknownProgramme(Refused):
    """There is no such programme."""

    code = "unknown-programme"

    def __init__(self, programme: str) -> None:
        super().__init__(f"there is no programme {programme!r}")
        self.programme = programme


class UnknownVersion(Refused):
    """The programme has no such version."""

    code = "unknown-version"

    def __init__(self, programme: str, version: int) -> None:
        super().__init__(f"there is no version {version} of programme {programme!r}")
        self.programme = programme
        self.version = version


class VersionReused(Refused):
    """A version never changes; write the change down as the next one."""

    code = "id-reused"

    def __init__(self, programme: str, version: int) -> None:
        super().__init__(f"version {version} of programme {programme!r} says something else")
        self.programme = programme
        self.version = version


class AlreadyActivated(Refused):
    """The version has its time already."""

    code = "already-activated"

    def __init__(self, *, activated_at: datetime) -> None:
        super().__init__(f"it is active from {activated_at.isoformat()} on")
        self.activated_at = activated_at


class NotActivated(Refused):
    """What was never activated cannot be retired."""

    code = "not-activated"


class VersionRetired(Refused):
    """The version has its end already; write it down anew as the next one."""

    code = "version-retired"

    def __init__(self, *, retired_at: datetime) -> None:
        super().__init__(f"it is retired from {retired_at.isoformat()} on")
        self.retired_at = retired_at


class InThePast(Refused):
    """Rules begin and end now or later: what was promised stays promised."""

    code = "in-the-past"

    def __init__(self, *, asked_at: datetime, now: datetime) -> None:
        super().__init__(f"{asked_at.isoformat()} is before now, {now.isoformat()}")
        self.asked_at = asked_at
        self.now = now


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a document."""

    pointer: str  # JSON Pointer to the place
    code: str
    detail: str
    line: int | None = None  # counted from 1; None: the document has no text
    column: int | None = None


class NotAProgramme(Refused):
    """The document is not a programme."""

    code = "not-a-programme"

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(f"{len(faults)} faults, the first: {faults[0].detail}")
        self.faults = tuple(faults)
