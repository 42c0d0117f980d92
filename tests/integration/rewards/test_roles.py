"""The roles of rewards as processes, on one SQLite file each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from services.rewards.__main__ import main
from services.runtime.stream import Message, Record, Stream, open_stream
from tests.support.databases import migrated
from tests.support.eventually import eventually
from tests.support.rewards_desk import GROCER, RewardsDesk
from tests.support.server import free_port


@pytest.fixture
def urls(tmp_path: Path) -> tuple[str, str]:
    return f"sqlite:///{tmp_path / 'rewards.db'}", f"sqlite:///{tmp_path / 'stream.db'}"


@contextmanager
def role(name: str, urls: tuple[str, str], **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A role until the end of the block; it has to end well when it is asked to."""
    environment = {
        **os.environ,
        "REWARDS_DATABASE_URL": urls[0],
        "REWARDS_STREAM_URL": urls[1],
        **settings,
    }
    process = subprocess.Popen([sys.executable, "-m", "services.rewards", name], env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_the_projector_follows_the_ledger_and_announces_programmes(urls: tuple[str, str]) -> None:
    with closing(open_stream(urls[1])) as stream, migrated(urls[0], "services.rewards") as database:
        stream.ensure_topics()
        desk = RewardsDesk(database)
        desk.adopt(GROCER)
        purchase = desk.purchase("b1")
        with closing(stream.producer()) as producer:
            producer.append("ledger", [Message(purchase.key, purchase.value)])

        with role("projector", urls):
            eventually(lambda: records(stream, "intake") and records(stream, "rewards"))

        [award] = records(stream, "intake")
        [fact] = records(stream, "rewards")
    assert (award.key, json.loads(award.value)["data"]["points"]) == ("1130", 4)
    assert json.loads(fact.value)["data"]["programme"] == "grocer"


def test_the_api_is_ready_without_ledger_and_stream(urls: tuple[str, str]) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"

    with role("api", urls, REWARDS_PORT=str(port), REWARDS_LEDGER_URL="http://127.0.0.1:1"):
        eventually(lambda: status(f"{address}/readyz") == 200)

        assert status(f"{address}/v1/programmes") == 401
        assert status(f"{address}/v1/programmes", key="sb_unknown") == 503


@pytest.mark.parametrize("arguments", [[], ["writer"], ["api", "more"]])
def test_says_how_it_is_used(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == "usage: python -m services.rewards api|projector\n"


def status(url: str, *, key: str | None = None) -> int | None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        return httpx.get(url, headers=headers, timeout=5).status_code
    except httpx.TransportError:
        return None


def records(stream: Stream, topic: str) -> list[Record]:
    """All that is on a topic."""
    with closing(stream.reader(topic)) as reader:
        reader.seek(dict.fromkeys(range(stream.partition_count(topic)), 0))
        return reader.poll(max_records=100, timeout_s=0.1)
