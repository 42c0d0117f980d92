"""Each service of an embedded installation, put together by hand: its doors and its roles."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass

from fastapi import APIRouter

from services.ledger.api import routes as ledger_routes
from services.ledger.clock import ExpiryClock
from services.ledger.consumer import Writer
from services.ledger.inspector import Inspector
from services.ledger.intake import Rules
from services.ledger.keys import StoredKeys
from services.ledger.publisher import relay as ledger_relay
from services.ledger.settings import LedgerSettings
from services.notify.api import routes as notify_routes
from services.notify.consumer import projector as notify_projector
from services.notify.replayer import Replayer
from services.notify.roles import dispatcher, use_cases
from services.notify.settings import NotifySettings
from services.rewards.api import routes as programme_routes
from services.rewards.application import Programmes
from services.rewards.consumer import AwardsProjector
from services.rewards.publisher import relay as rewards_relay
from services.rewards.settings import RewardsSettings
from services.runtime.clock import utc_now
from services.runtime.footing import Footing, watch
from services.runtime.health import Health
from services.runtime.notes import Malformed
from stampbook.crew import Crew
from stampbook.currencies import AcceptedCurrencies
from stampbook.failures import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a service is put together."""

    footing: Footing
    keys: StoredKeys
    health: Health
    crew: Crew
    stack: ExitStack


def ledger(site: Site, settings: LedgerSettings, programmes: Programmes) -> list[APIRouter]:
    """The log and everything that is read from it; it takes the programmes' money."""
    footing = site.footing
    accepts = settings.accepts if settings.currencies else AcceptedCurrencies(programmes.currencies)
    rules = Rules(is_accepted_currency=accepts, clock=utc_now)
    try:
        notary, seals = settings.notary(), settings.seals()
    except Malformed as error:
        raise Failure(
            f"{error}\nPut the right file back, or move it away: then a new key is made."
        ) from None
    writer = Writer(footing, rules=rules, batch_size_max=settings.batch_size_max, notary=notary)
    relay = ledger_relay(footing)
    site.crew.hire("ledger-writer", writer.run)
    site.crew.hire("ledger-relay", relay.run)
    site.crew.hire("ledger-clock", ExpiryClock(footing, rules=rules).run)
    site.crew.hire("ledger-inspector", Inspector(footing, every=settings.inspect_every).run)
    for role, lag in (("ledger-writer", writer.lag), ("ledger-relay", relay.lag)):
        watch(site.health, footing, "services.ledger", role=role, lag=lag)
    producer = site.stack.enter_context(closing(footing.stream.producer()))
    return [
        ledger_routes(
            database=footing.database,
            producer=producer,
            keys=site.keys,
            rules=rules,
            seals=seals,
            time_zone=settings.time_zone,
        )
    ]


def rewards(site: Site, settings: RewardsSettings, programmes: Programmes) -> list[APIRouter]:
    """Programmes, and what purchases earn by them."""
    projector = AwardsProjector(site.footing, page_size_max=settings.page_size_max)
    relay = rewards_relay(site.footing)
    site.crew.hire("rewards-projector", projector.run)
    site.crew.hire("rewards-relay", relay.run)
    for role, lag in (("rewards-projector", projector.lag), ("rewards-relay", relay.lag)):
        watch(site.health, site.footing, "services.rewards", role=role, lag=lag)
    return [programme_routes(programmes, site.keys)]


def notify(site: Site, settings: NotifySettings) -> list[APIRouter]:
    """Endpoints, and the roles that bring events to them."""
    footing = site.footing
    projector = notify_projector(footing, page_size_max=settings.page_size_max)
    send = dispatcher(footing.database, footing.ownership, utc_now, settings)
    site.crew.hire("notify-projector", projector.run)
    site.crew.hire("notify-replayer", Replayer(footing).run)
    site.crew.hire("notify-dispatcher", send)
    watch(site.health, footing, "services.notify", role="notify-projector", lag=projector.lag)
    notify = use_cases(footing.database, utc_now, allow_loopback=settings.allow_loopback)
    return [notify_routes(notify, site.keys)]
