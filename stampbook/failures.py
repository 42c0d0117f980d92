"""Why a command line ends badly, and what it ends with.

Failure
├── Misused       2: the line itself cannot be carried out
├── Refused       1: the server said no
└── Unreachable   3: nobody answers

Exit code 1 is also what a command ends with that worked and found something: lines refused by
an import, a damaged log, findings of the doctor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

OK = 0
FOUND = 1
MISUSED = 2
UNREACHABLE = 3
INTERRUPTED = 130

_STANDARD_MEMBERS = {"type", "title", "status", "detail", "code", "errors"}
_WHAT_TO_DO = {
    "key-missing": "Name a key with --key or STAMPBOOK_KEY.",
    "key-unknown": "Name another key with --key or STAMPBOOK_KEY; `keys create` makes one.",
    "merchant-required": "Name the merchant with --merchant or STAMPBOOK_MERCHANT.",
    "role-not-allowed": "Use the operator's key.",
}


class Failure(Exception):
    """A command cannot do what was asked."""

    exit_code = FOUND

    def text(self) -> str:
        """For a person, on several lines if need be."""
        return str(self)

    def as_json(self) -> bytes:
        """For a program."""
        return msgspec.json.encode({"error": str(self)})


class Misused(Failure):
    """What stands on the line, or in a file it names, makes no sense."""

    exit_code = MISUSED


class Unreachable(Failure):
    """The server does not answer."""

    exit_code = UNREACHABLE

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"No answer from {url}: {reason}\n"
            "Is it running? `stampbook up` starts one here; --url or STAMPBOOK_URL names another."
        )


class Refused(Failure):
    """The server answered with a problem (RFC 9457)."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = problem
        super().__init__(str(problem.get("detail", "")))

    @property
    def code(self) -> str:
        """The problem's stable name."""
        return str(self.problem.get("code", ""))

    def text(self) -> str:
        """Every member of the problem, every bad field, and what to do about it."""
        problem = self.problem
        lines = [f"Refused ({problem.get('status', '?')} {self.code}): {self}"]
        errors = problem.get("errors", ())
        for error in errors:
            place = error.get("pointer", error.get("parameter", "?")) or "/"
            lines.append(f"  {place}: {error.get('detail', '')} ({error.get('code', '')})")
        lines.extend(
            f"  {name}: {value}" for name, value in problem.items() if name not in _STANDARD_MEMBERS
        )
        codes = [self.code, *(str(error.get("code")) for error in errors)]
        lines.extend(_WHAT_TO_DO[code] for code in codes if code in _WHAT_TO_DO)
        return "\n".join(lines)

    def as_json(self) -> bytes:
        """The problem as it came."""
        return msgspec.json.encode(self.problem)
