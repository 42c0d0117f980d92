"""The ledger's roles as processes: ``python -m services.ledger api|writer|relay|clock``."""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI

from services.ledger.api import TITLE, routes
from services.ledger.clock import ExpiryClock
from services.ledger.consumer import Writer
from services.ledger.inspector import Inspector
from services.ledger.intake import Rules
from services.ledger.keys import StoredKeys
from services.ledger.publisher import relay
from services.ledger.settings import LedgerSettings
from services.runtime.footing import Footing, standing, watch
from services.runtime.health import Health
from services.runtime.roles import Run, run_api, run_role
from services.runtime.shards import ShardsDiffer
from services.runtime.web import application

PACKAGE = "services.ledger"
USAGE = "usage: python -m services.ledger api|writer|relay|clock"


def _api(settings: LedgerSettings) -> FastAPI:
    if settings.shards > 1:
        # It would not know the members of the others, and say so to their faces.
        raise ShardsDiffer("the API answers for one shard only, see docs/adr/0014")
    with ExitStack() as stack:
        footing = stack.enter_context(standing(settings, PACKAGE))
        producer = stack.enter_context(closing(footing.stream.producer()))
        health = Health()
        watch(health, footing, PACKAGE, role="api")
        router = routes(
            database=footing.database,
            producer=producer,
            keys=StoredKeys(footing.database, footing.clock, operator_key=settings.admin_key),
            rules=_rules(footing, settings),
            seals=settings.seals(),
            time_zone=settings.time_zone,
        )
        kept_open = stack.pop_all()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with kept_open:
            yield

    return application(TITLE, version("stampbook"), [router], lifespan=lifespan, health=health)


def _writer(footing: Footing, settings: LedgerSettings, health: Health) -> Run:
    writer = Writer(
        footing,
        rules=_rules(footing, settings),
        share=settings.share,
        cache_bytes_max=settings.cache_bytes,
        batch_size_max=settings.batch_size_max,
        notary=settings.notary(),
    )
    watch(health, footing, PACKAGE, role="writer", lag=writer.lag)
    return writer.run


def _relay(footing: Footing, settings: LedgerSettings, health: Health) -> Run:
    role = relay(footing, share=settings.share)
    watch(health, footing, PACKAGE, role="relay", lag=role.lag)
    return role.run


def _clock(footing: Footing, settings: LedgerSettings, health: Health) -> Run:
    watch(health, footing, PACKAGE, role="clock")
    clock = ExpiryClock(footing, rules=_rules(footing, settings), share=settings.share)
    inspector = Inspector(footing, every=settings.inspect_every)

    def run(stop: threading.Event) -> None:
        # It rests between pages and may take long: ends do not wait for it.
        is_over = threading.Event()
        inspecting = threading.Thread(target=inspector.run, args=(is_over,), name="inspector")
        inspecting.start()
        try:
            clock.run(stop)
        finally:
            is_over.set()
            inspecting.join()

    return run


_ROLES = {"writer": _writer, "relay": _relay, "clock": _clock}


def _rules(footing: Footing, settings: LedgerSettings) -> Rules:
    return Rules(
        is_accepted_currency=settings.accepts,
        clock=footing.clock,
        adjustment_limit=settings.adjustment_limit,
    )


def main(arguments: list[str]) -> int:
    """Be one role until told to stop."""
    match arguments:
        case ["api"]:
            settings = LedgerSettings()
            return run_api(partial(_api, settings), service="ledger", settings=settings)
        case [role] if role in _ROLES:
            settings, health = LedgerSettings(), Health()

            def run(stop: threading.Event) -> None:
                with standing(settings, PACKAGE) as footing:
                    _ROLES[role](footing, settings, health)(stop)

            return run_role(run, service="ledger", role=role, settings=settings, health=health)
        case _:
            sys.stderr.write(USAGE + "\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
