"""One chaos run: load, kills, quiet, and then the question what became of it all."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

from aiohttp import web

from tests.chaos.checker import Facts, broken_promises
from tests.chaos.commands import CARDS, FLASH, GROCER
from tests.chaos.facts import Log, balances, letters, outcomes
from tests.chaos.journal import Journal
from tests.chaos.killer import Killer
from tests.chaos.load import Load
from tests.chaos.quiet import Rest
from tests.support.compose import Program
from tests.support.embedded import running_embedded
from tests.support.full import running_full
from tests.support.installation import Installation
from tests.support.kafka_door import kafka_door
from tests.support.receiver import Call, Receiver
from tests.support.stack import Stack

INSTALLATIONS = ("embedded", "full")
_HOOK = "/hook"
Json = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Report:
    """What a run came to."""

    installation: str
    seed: str
    kills: dict[str, int]
    freezes: dict[str, int]
    deserters: list[str]
    figures: dict[str, int | float]
    broken: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        return not self.deserters and not any(self.broken.values())


@contextmanager
def started(name: str, *, with_standbys: bool, is_fenced: bool) -> Iterator[Installation]:
    """An installation that is nobody else's; the full one with a stack of its own, to be killed."""
    altered = (lambda program: program) if is_fenced else unfenced
    with ExitStack() as stack:
        if name == "embedded":
            yield stack.enter_context(running_embedded())
        else:
            own = stack.enter_context(Stack.start())
            full = running_full(own, with_standbys=with_standbys, altered=altered)
            yield stack.enter_context(full)


def unfenced(program: Program) -> Program:
    """The same program without the epochs that keep a former owner from writing."""
    python, _, package, role = program.command
    return replace(program, command=[python, "-m", "tests.chaos.unfenced", package, role])


def run(
    name: str,
    *,
    seconds: float,
    seed: str,
    kills_min: int = 1,
    is_long: bool = False,
    is_fenced: bool = True,
) -> Report:
    """Start an installation, torment it, and say what became of it.

    A long run also has standbys, and freezes; without a fence it has to break promises.
    """
    journal = Journal()
    installed = started(name, with_standbys=is_long, is_fenced=is_fenced)
    with installed as installation, ExitStack() as stack:
        receiver = Receiver()
        stack.callback(receiver.close)
        receiver.answer(_HOOK, moody(Random(f"{seed}/receiver")))
        secret = prepare(installation, receiver)
        load = Load(installation, journal, seed)
        killer = Killer(installation, seed, kills_min=kills_min, with_freezes=is_long)
        began_s = time.monotonic()
        load.begin()
        try:
            killer.begin()
            time.sleep(seconds)
            killer.end()
        finally:
            load.end()
        loaded_s = time.monotonic() - began_s
        facts = facts_at_rest(installation, journal, receiver, secret)
        figures = {
            "commands": len(journal.lines),
            "sendings": journal.sendings,
            "acknowledged": sum(line.is_acknowledged for line in journal.lines.values()),
            "events": len(facts.events),
            "webhook calls": len(receiver.calls),
            "dead letters": len(facts.letters),
            "load, s": round(loaded_s, 1),
            "until quiet, s": round(time.monotonic() - began_s - loaded_s, 1),
        }
    return Report(
        installation=name,
        seed=seed,
        kills=dict(killer.kills),
        freezes=dict(killer.freezes),
        deserters=killer.deserters,
        figures=figures,
        broken=broken_promises(facts),
    )


def moody(chance: Random) -> Callable[[Call], web.Response]:
    """An endpoint that takes most, and fails now and then."""
    return lambda _: web.Response(status=500 if chance.random() < 0.01 else 204)


def prepare(installation: Installation, receiver: Receiver) -> str:
    """A second programme, whose points end soon, cards, and an endpoint for everything."""
    with installation.client(installation.key) as http:
        version = "/v1/programmes/flash/versions/1"
        yaml = {"Content-Type": "application/yaml"}
        http.put(version, content=FLASH, headers=yaml).raise_for_status()
        http.post(f"{version}/activate").raise_for_status()
        wish = {"url": receiver.url(_HOOK), "types": ["*"], "from": "start"}
        made = http.put("/v1/endpoints/chaos", json=wish)
        made.raise_for_status()
        for member, number in CARDS.items():
            headers = {"Stampbook-Merchant": GROCER, "Prefer": "wait=30"}
            card = http.put(f"/v1/cards/{number}", json={"member": member}, headers=headers)
            card.raise_for_status()
        return str(made.json()["secret"])


def facts_at_rest(
    installation: Installation, journal: Journal, receiver: Receiver, secret: str
) -> Facts:
    """Wait until nothing more is to come, then look at everything."""
    with installation.client() as http:
        log = Log(http)
        missing = Rest(installation, journal, log).wait(
            lambda: {call.id for call in list(receiver.calls)}
        )
        calls = list(receiver.calls)
        return Facts(
            journal=journal,
            missing=missing,
            events=log.events,
            outcomes=outcomes(installation, journal.lines.values()),
            balances=balances(installation, {e["subject"] for e in log.events if "subject" in e}),
            balances_at=datetime.now(UTC),
            webhooks=[(call.id, call.event) for call in calls],
            bad_signatures=sum(not call.is_signed_with(secret) for call in calls),
            letters=list(letters(http)),
            topic=topic(installation),
            verdict=installation.verify(),
        )


def topic(installation: Installation) -> list[tuple[int, Json]] | None:
    """Topic `ledger`, as any consumer finds it; partition by partition."""
    if installation.kafka_url is None:
        return None
    with kafka_door(installation.kafka_url) as door:
        return [(record.partition, json.loads(record.value)) for record in door.read("ledger")]
