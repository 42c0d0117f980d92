"""The progress bar of an import."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from stampbook.import_journal import Counts


class Bar:
    """Bytes done of a file, commands answered, and how fast; silent where nobody looks."""

    def __init__(self, console: Console, file: Path, *, at: int, answered: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[answered]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        total = file.stat().st_size
        self._task = self._progress.add_task(file.name, total=total, completed=at, answered="")
        self._began_at_s = time.monotonic()
        self._ended_at_s: float | None = None
        self._answered_before = answered
        self._answered = answered

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended_at_s = time.monotonic()
        self._progress.stop()

    def show(self, offset: int, counts: Counts) -> None:
        """Everything up to this byte is answered."""
        self._answered = counts.answered
        text = f"{counts.answered:,} · {self.rate_per_s():,.0f}/s"
        if counts.refused:
            text += f" · {counts.refused:,} refused"
        self._progress.update(self._task, completed=offset, answered=text)

    def rate_per_s(self) -> float:
        """Commands answered a second, of this run."""
        elapsed_s = (self._ended_at_s or time.monotonic()) - self._began_at_s
        return (self._answered - self._answered_before) / elapsed_s if elapsed_s > 0 else 0.0
