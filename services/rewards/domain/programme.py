"""What a programme's document means, and what can be wrong with it beyond its shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from services.rewards.domain.currency import MINOR_DIGITS
from services.rewards.domain.errors import Fault
from services.rewards.domain.unit import Unit, faults_in_unit, understand_unit

Document = Mapping[str, Any]
"""A programme as written, in the shape of contracts/programme.schema.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """So many points for each full amount of a purchase's lines."""

    name: str
    unit: str
    points_each: int  # > 0
    per_minor: int  # > 0, in the smallest units of the programme's currency


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """One version of a programme, understood."""

    name: str
    version: int
    currency: str
    time_zone: ZoneInfo
    merchants: frozenset[str] | None  # None: every merchant
    units: Mapping[str, Unit]  # by name
    rules: tuple[Rule, ...]  # by name

    def holds_for(self, *, merchant: str, currency: str) -> bool:
        """Whether this merchant's purchases in this currency can earn."""
        return currency == self.currency and (self.merchants is None or merchant in self.merchants)


def understand(document: Document, *, version: int) -> Programme:
    """Read a document that has the right shape and in which ``faults_in`` finds nothing."""
    currency = document["currency"]
    return Programme(
        name=document["programme"],
        version=version,
        currency=currency,
        time_zone=ZoneInfo(document["time_zone"]),
        merchants=frozenset(document["merchants"]) if "merchants" in document else None,
        units={name: understand_unit(unit) for name, unit in sorted(document["units"].items())},
        rules=tuple(
            Rule(
                name=name,
                unit=rule["earn"]["unit"],
                points_each=rule["earn"]["points"],
                per_minor=int(_in_minor_units(rule["earn"]["per"], currency)),
            )
            for name, rule in sorted(document["rules"].items())
        ),
    )


def faults_in(document: Document) -> Iterator[Fault]:
    """What is wrong beyond the shape.

    A value that is missing or None is not judged: its shape was refused already, and the rest is
    to be judged all the same, so that every fault is named at once.
    """
    currency = document.get("currency")
    if currency is not None and currency not in MINOR_DIGITS:
        yield Fault("/currency", "unknown-currency", f"ISO 4217 has no currency {currency}")
    zone = document.get("time_zone")
    if zone is not None and zone not in _time_zones():
        yield Fault("/time_zone", "unknown-time-zone", f"there is no time zone {zone}")
    units = document.get("units")
    for name, unit in (units or {}).items():
        yield from faults_in_unit(f"/units/{name}", unit or {})
    for name, rule in (document.get("rules") or {}).items():
        earn = (rule or {}).get("earn") or {}
        yield from _faults_in_earn(f"/rules/{name}/earn", earn, units, currency)


def _faults_in_earn(
    pointer: str, earn: Document, units: Document | None, currency: str | None
) -> Iterator[Fault]:
    unit, per = earn.get("unit"), earn.get("per")
    if unit is not None and units is not None and unit not in units:
        yield Fault(f"{pointer}/unit", "unknown-unit", f"{unit} is not one of the units")
    if per is not None and currency is not None and currency in MINOR_DIGITS:
        minor = _in_minor_units(per, currency)
        if minor <= 0:
            yield Fault(f"{pointer}/per", "out-of-range", f"{per} is not more than zero")
        elif minor % 1:
            digits = MINOR_DIGITS[currency]
            yield Fault(
                f"{pointer}/per",
                "too-fine",
                f"{per} is finer than {currency}, which has {digits} digits after the point",
            )


def _in_minor_units(amount: str, currency: str) -> Decimal:
    """Exact: an amount has far fewer digits than Decimal keeps."""
    return Decimal(amount).scaleb(MINOR_DIGITS[currency])


@cache
def _time_zones() -> frozenset[str]:
    """Asked by exact name: a file system that ignores case would find more than others do."""
    return frozenset(available_timezones())
