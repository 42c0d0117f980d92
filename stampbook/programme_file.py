"""`up --programme FILE`: a programme that is to hold from now on."""

from __future__ import annotations

from pathlib import Path

from services.rewards.application import Programmes
from services.rewards.domain.errors import NotAProgramme
from services.rewards.parts import NotText
from stampbook.failures import Misused

_JSON = "application/json"
_YAML = "application/yaml"


def adopt(programmes: Programmes, path: Path) -> None:
    """Activate what the file says, as the next version; what is active already stays as it is.

    Raises:
        Misused: it is no programme; every fault is named with its line.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Misused(f"{path}: {error.strerror}") from None
    try:
        programmes.adopt(text, _JSON if path.suffix == ".json" else _YAML)
    except NotText as fault:
        line = f", line {fault.place[0]}" if fault.place else ""
        raise Misused(f"{path}{line}: {fault}") from None
    except NotAProgramme as refusal:
        faults = (
            f"  line {fault.line or '?'}, {fault.pointer or '/'}: {fault.detail} ({fault.code})"
            for fault in refusal.faults
        )
        raise Misused("\n".join([f"{path} is no programme:", *faults])) from None
