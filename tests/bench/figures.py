"""What a benchmark answers with: a figure, and beside it the raw limit measured in the same run."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    unit: str
    limit: float | None = None  # what the bare machine gave for the same work, in the same unit
    ratio: float | None = None  # value to limit
    note: str = ""

    @classmethod
    def against(cls, name: str, value: float, unit: str, limit: float, note: str) -> Figure:
        """A figure with the limit that it is held against."""
        return cls(name, round(value, 1), unit, round(limit, 1), round(value / limit, 3), note)


def machine() -> dict[str, object]:
    """What this was measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        )
        if Path("/proc/cpuinfo").exists()
        else iter(()),
        platform.processor() or "unknown",
    )
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def as_json(figures: list[Figure]) -> list[dict[str, object]]:
    """The figures as they stand in ``build/bench.json``."""
    return [asdict(figure) for figure in figures]
