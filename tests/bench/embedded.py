"""The embedded installation: how soon it answers, and a whole year of a grocer's baskets."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil

from services.runtime.database import open_database
from services.runtime.migrations import migrate
from tests.bench.figures import Figure
from tests.support.embedded import ROLE, running_embedded
from tests.support.installation import ROOT

YEAR = ROOT / "build" / "year.ndjson"
IMPORT_TIMEOUT_S = 900


def measure(folder: Path) -> list[Figure]:
    """Start it, import the year, and weigh the process."""
    baskets = _year()
    limit_per_s = _bare_sqlite(folder)
    began_s = time.perf_counter()
    with running_embedded() as embedded:
        start_s = time.perf_counter() - began_s
        server = psutil.Process(embedded.processes[ROLE].pid)
        began_s = time.perf_counter()
        done = embedded.stampbook("import", YEAR, "--json", timeout_s=IMPORT_TIMEOUT_S)
        took_s = time.perf_counter() - began_s
        counts = json.loads(done.stdout.splitlines()[-1])
        assert counts == {"recorded": baskets, "repeated": 0, "refused": 0}, counts
        resident_mb = server.memory_info().rss / 2**20
    note = "every line kept, awards and ends included as they keep up; the limit is bare SQLite"
    return [
        Figure.against("import_baskets_per_s", baskets / took_s, "baskets/s", limit_per_s, note),
        Figure("import_year_s", round(took_s, 1), "s", note=f"{baskets:,} baskets"),
        Figure("import_resident_mb", round(resident_mb), "MB", note="the server, after the import"),
        Figure("embedded_start_s", round(start_s, 2), "s", note="from the command to an answer"),
    ]


def _year() -> int:
    """The whole year as a file, made once; returns the number of baskets."""
    if not YEAR.exists():
        YEAR.parent.mkdir(exist_ok=True)
        maker = ROOT / "examples" / "make_purchases.py"
        subprocess.run((sys.executable, maker, "--all", YEAR), check=True)
    with YEAR.open("rb") as lines:
        return sum(1 for _ in lines)


def _bare_sqlite(folder: Path) -> float:
    """The same bytes into one durable table, 1,000 a commit, and nothing else."""
    columns = ("position", "stream", "version", "type", "event_id", "event", "chain")
    with closing(open_database(f"sqlite:///{folder / 'bare.db'}")) as database:
        migrate(database, "services.ledger")
        with YEAR.open("rb") as lines:
            rows = [
                (n, f"s{n % 2469}", n, "t", b"%016d" % n, line, b"c" * 32)
                for n, line in enumerate(lines)
            ]
        began_s = time.perf_counter()
        for start in range(0, len(rows), 1_000):
            with database.write() as connection:
                connection.insert("events", columns, rows[start : start + 1_000])
        return len(rows) / (time.perf_counter() - began_s)
