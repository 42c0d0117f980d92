"""Every way in which notify says no. The docstring is the title that users read."""

from __future__ import annotations

from typing import ClassVar


class Refused(Exception):
    """Notify declined."""

    code: ClassVar[str]


class UnknownEndpoint(Refused):
    """There is no such endpoint."""

    code = "unknown-endpoint"


class MalformedUrl(Refused):
    """The address is not one that events can be sent to."""

    code = "malformed"


class AddressNotAllowed(Refused):
    """The address leads into a network that notify does not call."""

    code = "address-not-allowed"


class TooManyReplays(Refused):
    """Too many replays of this endpoint are unfinished."""

    code = "too-many-replays"

    def __init__(self, *, replays_max: int) -> None:
        super().__init__(f"{replays_max} replays wait already; let one of them finish first")
        self.replays_max = replays_max


class NotReady(Refused):
    """Notify has not found the log yet."""

    code = "not-ready"
