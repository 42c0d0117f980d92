"""How far an import has come, written down beside its file: `FILE.journal.json`.

It makes a second run go on where the first was interrupted. It is only a shortcut, and is not
trusted: when the file has changed, or the server does not know the command that was answered
last, the import begins anew, which the commands' ids make safe.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from stampbook.import_source import Place


class Counts(msgspec.Struct):
    """What became of the commands that are answered."""

    recorded: int = 0
    repeated: int = 0  # had been recorded before
    refused: int = 0
    waiting: int = 0  # returns that wait for their purchase

    @property
    def answered(self) -> int:
        """All of them."""
        return self.recorded + self.repeated + self.refused + self.waiting

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(
            recorded=self.recorded + other.recorded,
            repeated=self.repeated + other.repeated,
            refused=self.refused + other.refused,
            waiting=self.waiting + other.waiting,
        )

    def for_programs(self) -> dict[str, int]:
        """What `--json` ends with; waiting only if something does."""
        named = {"recorded": self.recorded, "repeated": self.repeated, "refused": self.refused}
        return {**named, "waiting": self.waiting} if self.waiting else named


class Progress(msgspec.Struct):
    """What is done of one file."""

    file: tuple[int, int, int, int]  # device, inode, size and time of the last change
    goal: str  # server, merchant and type: what else the result depends on
    offset: int = 0
    lines: int = 0
    refused_bytes: int = 0  # of the file of refused lines
    counts: Counts = msgspec.field(default_factory=Counts)
    last: tuple[str, str] | None = None  # type and id of a command that the server has recorded

    @property
    def place(self) -> Place:
        """Where to go on."""
        return Place(self.offset, self.lines)


class Journal:
    """Keeps the progress of one file."""

    def __init__(self, path: Path, *, data: Path, goal: str) -> None:
        self._path = path
        found = data.stat()
        self._file = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        self._goal = goal

    def begin(self) -> Progress:
        """Progress of nothing yet."""
        return Progress(file=self._file, goal=self._goal)

    def load(self) -> Progress | None:
        """The progress of an earlier run with this file and this goal, if there was one."""
        try:
            progress = msgspec.json.decode(self._path.read_bytes(), type=Progress)
        except (OSError, msgspec.DecodeError):
            return None
        is_same = progress.file == self._file and progress.goal == self._goal
        return progress if is_same else None

    def save(self, progress: Progress) -> None:
        """Replace what was written before, whole or not at all."""
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.write_bytes(msgspec.json.encode(progress))
        fresh.replace(self._path)

    def finish(self) -> None:
        """Forget it: the next run goes through the whole file again."""
        self._path.unlink(missing_ok=True)
