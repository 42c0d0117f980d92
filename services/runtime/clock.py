"""Time: one clock, one text form (RFC 3339), one stored form (microseconds since 1970, UTC)."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Answers an aware UTC datetime; passed in wherever "now" matters, so that tests own the time."""

NEVER_US = 2**63 - 1
"""Sorts after every instant: the stored form of "has no end"."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def utc_now() -> datetime:
    """The only reader of the clock."""
    return datetime.now(UTC)


def micros(at: datetime) -> int:
    """Whole microseconds since 1970 in UTC; exact, and negative before."""
    return (at - _EPOCH) // _MICROSECOND


def from_micros(us: int) -> datetime:
    """The UTC instant that `micros` came from; ``NEVER_US`` is none and overflows."""
    return _EPOCH + timedelta(microseconds=us)


def rfc3339(at: datetime) -> str:
    """``at`` as text: UTC ends in ``Z``, any other offset is kept as it is."""
    offset = at.utcoffset()
    assert offset is not None, "an instant needs its offset"
    if offset.seconds % 60:  # local mean times of before 1972; RFC 3339 cannot say their seconds
        at = at.astimezone(UTC)
    return at.isoformat().replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """The instant that ``text`` names, with its own offset; below microseconds it is cut off.

    Raises:
        ValueError: not RFC 3339, without an offset, no such day, or beyond the years 1 to 9999.
    """
    if _RFC3339.fullmatch(text) is None:
        raise ValueError("is not an RFC 3339 time with an offset, as 2017-01-01T12:30:27-05:00")
    at = datetime.fromisoformat(text.upper())
    if at.year in (1, 9999):
        try:
            at.astimezone(UTC)
        except OverflowError:
            raise ValueError("lies beyond the years 1 to 9999") from None
    return at
