"""Counts the tests that ran on the real Kafka and the real PostgreSQL, and says so at the end."""

from collections import Counter

import pytest

from tests.support.kafka_jars import KAFKA_VERSION

NAMES = {"kafka": f"Apache Kafka {KAFKA_VERSION}", "postgres": "PostgreSQL 18"}


class RealCount:
    """A plugin of pytest. A full run fails when a real server was skipped, or met no test."""

    def __init__(self, *, is_full: bool) -> None:
        self._is_full = is_full
        self._ran: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for mark in NAMES.keys() & report.keywords.keys():
            if report.skipped:
                self._skipped[mark] += 1
            elif report.when == "call":
                self._ran[mark] += 1

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._is_full and not session.config.option.collectonly and self._is_incomplete():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not (self._is_full or self._ran or self._skipped):
            return
        counts = (
            f"{self._ran[mark]} tests ran on real {name}, {self._skipped[mark]} skipped"
            for mark, name in NAMES.items()
        )
        is_bad = self._is_full and self._is_incomplete()
        terminalreporter.write_line("; ".join(counts), red=is_bad, green=not is_bad)
        if is_bad:
            terminalreporter.write_line(
                "FAILED: a full run skips nothing on real servers.", red=True
            )

    def _is_incomplete(self) -> bool:
        return any(self._skipped[mark] or not self._ran[mark] for mark in NAMES)
