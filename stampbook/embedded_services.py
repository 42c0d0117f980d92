"""Each service of an embedded installation, put together by hand: its doors and its roles."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta

from fastapi import APIRouter

from services.ledger.api import routes as ledger_routes
from services.ledger.clock import ExpiryClock
from services.ledger.consumer import Writer
from services.ledger.intake import Rules
from services.ledger.keys import StoredKeys
from services.ledger.publisher import relay as ledger_relay
from services.ledger.settings import LedgerSettings
from services.notify.api import routes as notify_routes
from services.notify.application import Notify
from services.notify.consumer import projector as notify_projector
from services.notify.dispatcher import Dispatcher, Limits
from services.notify.replayer import Replayer
from services.notify.sender import Guard, Sender
from services.notify.settings import NotifySettings
from services.rewards.api import routes as programme_routes
from services.rewards.application import Programmes
from services.rewards.consumer import AwardsProjector
from services.rewards.publisher import relay as rewards_relay
from services.runtime.clock import utc_now
from services.runtime.footing import Footing, watch
from services.runtime.health import Health
from stampbook.crew import Crew, on_a_loop
from stampbook.currencies import AcceptedCurrencies


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
    writer = Writer(footing, rules=rules, batch_size_max=settings.batch_size_max)
    relay = ledger_relay(footing)
    site.crew.hire("ledger-writer", writer.run)
    site.crew.hire("ledger-relay", relay.run)
    site.crew.hire("ledger-clock", ExpiryClock(footing, rules=rules).run)
    for role, lag in (("ledger-writer", writer.lag), ("ledger-relay", relay.lag)):
        watch(site.health, footing, "services.ledger", role=role, lag=lag)
    producer = site.stack.enter_context(closing(footing.stream.producer()))
    return [
        ledger_routes(database=footing.database, producer=producer, keys=site.keys, rules=rules)
    ]


def rewards(site: Site, programmes: Programmes) -> list[APIRouter]:
    """Programmes, and what purchases earn by them."""
    projector = AwardsProjector(site.footing)
    relay = rewards_relay(site.footing)
    site.crew.hire("rewards-projector", projector.run)
    site.crew.hire("rewards-relay", relay.run)
    for role, lag in (("rewards-projector", projector.lag), ("rewards-relay", relay.lag)):
        watch(site.health, site.footing, "services.rewards", role=role, lag=lag)
    return [programme_routes(programmes, site.keys)]


def notify(site: Site, settings: NotifySettings) -> list[APIRouter]:
    """Endpoints, and the roles that bring events to them."""
    footing = site.footing
    projector = notify_projector(footing)
    site.crew.hire("notify-projector", projector.run)
    site.crew.hire("notify-replayer", Replayer(footing).run)
    site.crew.hire("notify-dispatcher", on_a_loop(_dispatching(footing, settings)))
    watch(site.health, footing, "services.notify", role="notify-projector", lag=projector.lag)
    use_cases = Notify(
        footing.database,
        utc_now,
        random_bytes=secrets.token_bytes,
        allow_loopback=settings.allow_loopback,
    )
    return [notify_routes(use_cases, site.keys)]


def _dispatching(
    footing: Footing, settings: NotifySettings
) -> Callable[[asyncio.Event], Awaitable[None]]:
    limits = Limits(
        lane_width=settings.lane_width,
        under_way_max=settings.under_way_max,
        keep=timedelta(days=settings.history_days),
    )

    async def dispatch(stop: asyncio.Event) -> None:
        sender = Sender(
            utc_now,
            Guard(allow_loopback=settings.allow_loopback),
            timeout=timedelta(seconds=settings.request_timeout_s),
        )
        dispatcher = Dispatcher(footing.database, footing.ownership, utc_now, sender, limits=limits)
        await dispatcher.run(stop)

    return dispatch
