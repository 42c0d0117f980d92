"""How the demo puts things."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any


def money(amount_minor: int) -> str:
    """Of a currency with two digits after the point, as the sample's is."""
    return f"{amount_minor // 100:,}.{amount_minor % 100:02d}"


def day(instant: str | None) -> str:
    """The day of an instant, where it was written down."""
    return "never" if instant is None else f"{datetime.fromisoformat(instant):%d %b %Y}"


def moment(instant: str) -> str:
    """Weekday, day and time."""
    return f"{datetime.fromisoformat(instant):%A %d %B %Y, %H:%M}"


def count(number: int, thing: str) -> str:
    """`1 point`, `2 points`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def article(line: Mapping[str, Any]) -> str:
    """What a line of a purchase was, as near as its categories tell."""
    return ", ".join(line.get("categories", ())[-2:]) or f"article {line['sku']}"


def ends(expiring: Iterable[Mapping[str, Any]], *, shown_max: int = 3) -> str:
    """When points end: the soonest by day, the rest in one word."""
    by_day: dict[str, int] = {}
    for part in expiring:
        name = day(part["expires_at"])
        by_day[name] = by_day.get(name, 0) + part["points"]
    soonest = [f"{points} on {name}" for name, points in list(by_day.items())[:shown_max]]
    if len(by_day) > shown_max:
        soonest.append("the rest later")
    return ", ".join(soonest)


def why_earned(why: Mapping[str, Any]) -> list[str]:
    """An answer to "why do I have these points?", in plain words."""
    entry, purchase, rule = why["entry"], why["purchase"], why["rule"]
    how = rule["arithmetic"]
    times = how["amount_minor"] // how["per_minor"]
    lines = [
        f"On {moment(purchase['purchased_at'])},",
        f"member {purchase['member']} paid {money(how['amount_minor'])} {how['currency']} "
        f"in shop {purchase['shop']} for:",
    ]
    for line in purchase["lines"]:
        name = article(line)[:50]
        lines.append(f"  {line['quantity']:>5} x {name:<50} {money(line['amount_minor']):>8}")
    return [
        *lines,
        f"Rule '{rule['rule']}' of programme '{rule['programme']}', version {rule['version']}: "
        f"{count(how['points_each'], 'point')} per full {money(how['per_minor'])}.",
        f"{money(how['amount_minor'])} / {money(how['per_minor'])}, rounded down, is {times}; "
        f"{times} x {how['points_each']} = {count(entry['points'], 'point')}.",
        f"They end on {moment(entry['expires_at'])}."
        if entry.get("expires_at")
        else "They never end.",
    ]


def why_taken_back(why: Mapping[str, Any]) -> str:
    """The same for points that a return took."""
    how = why["rule"]["arithmetic"]
    before, after = how["points_before"], how["points_after"]
    return (
        f"Kept before: {money(how['kept_before_minor'])}, worth {count(before, 'point')}. "
        f"Kept now: {money(how['kept_after_minor'])}, worth {after}. "
        f"{before} - {after} = {count(why['entry']['points'], 'point')} taken back, by the rules "
        "of the day of purchase."
    )


def own_command() -> str:
    """How this very command line is called from here."""
    beside = Path(sys.executable).with_name("stampbook")
    if not beside.exists():
        return f"{shlex.quote(sys.executable)} -m stampbook"
    here = Path.cwd()
    return shlex.quote(str(beside.relative_to(here) if beside.is_relative_to(here) else beside))
