"""What the doctor found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    subject: str
    is_well: bool
    detail: str
    what_to_do: str = ""

    @classmethod
    def well(cls, subject: str, detail: str) -> Finding:
        """Nothing to do."""
        return cls(subject, is_well=True, detail=detail)

    @classmethod
    def ill(cls, subject: str, detail: str, what_to_do: str) -> Finding:
        """Something to do."""
        return cls(subject, is_well=False, detail=detail, what_to_do=what_to_do)
