"""The grocer's programme worked out anew, to compare with: one point per full 10.00, for a year."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

PER_MINOR = 1_000
NEW_YORK = ZoneInfo("America/New_York")


def points_for(amount_minor: int) -> int:
    """Rounded down, once for all lines together."""
    return amount_minor // PER_MINOR


def year_after(purchased_at: str) -> datetime:
    """P12M: the same day and time of day, next year, in New York; of two such, the first.

    In UTC: a local time that clocks show twice equals no other, says PEP 495.
    """
    local = datetime.fromisoformat(purchased_at).astimezone(NEW_YORK).replace(tzinfo=None)
    try:
        end = local.replace(year=local.year + 1)
    except ValueError:  # the 29th of February
        end = local.replace(year=local.year + 1, day=28)
    return end.replace(tzinfo=NEW_YORK).astimezone(UTC)
