"""The ledger's roles as processes: ``python -m services.ledger api|writer|relay|clock``."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from services.ledger.clock import ExpiryClock
from services.ledger.consumer import Writer
from services.ledger.intake import Rules
from services.ledger.publisher import relay
from services.ledger.settings import LedgerSettings
from services.runtime.clock import utc_now
from services.runtime.footing import Footing, standing, watch
from services.runtime.health import Health
from services.runtime.roles import run_role

PACKAGE = "services.ledger"
USAGE = "usage: python -m services.ledger api|writer|relay|clock"


def _writer(footing: Footing, settings: LedgerSettings, health: Health) -> Callable[..., None]:
    rules = Rules(is_accepted_currency=settings.accepts, clock=footing.clock)
    writer = Writer(
        footing, rules=rules, shard=settings.shard, batch_size_max=settings.batch_size_max
    )
    watch(health, footing, PACKAGE, role="writer", lag=writer.lag)
    return writer.run


def _relay(footing: Footing, _: LedgerSettings, health: Health) -> Callable[..., None]:
    role = relay(footing)
    watch(health, footing, PACKAGE, role="relay", lag=role.lag)
    return role.run


def _clock(footing: Footing, settings: LedgerSettings, health: Health) -> Callable[..., None]:
    rules = Rules(is_accepted_currency=settings.accepts, clock=footing.clock)
    watch(health, footing, PACKAGE, role="clock")
    return ExpiryClock(footing, rules=rules).run


_ROLES = {"writer": _writer, "relay": _relay, "clock": _clock}


def main(arguments: list[str]) -> int:
    """Be one role until told to stop."""
    settings = LedgerSettings()
    match arguments:
        case [role] if role in _ROLES:
            health = Health()

            def run(stop: threading.Event) -> None:
                with standing(settings, PACKAGE, clock=utc_now) as footing:
                    _ROLES[role](footing, settings, health)(stop)

            return run_role(run, service="ledger", role=role, settings=settings, health=health)
        case _:
            sys.stderr.write(USAGE + "\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
