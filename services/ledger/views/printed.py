"""A statement on paper: a page fit for printing, and a table for spreadsheets.

The page stands by itself: no scripts, no pictures, nothing fetched. Everything in it is escaped.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

Statement = Mapping[str, Any]  # as contracts/answers/statement has it

_COLUMNS = ("at", "known_at", "type", "points", "change", "merchant")
_NAMES = ("purchase", "return", "redemption", "adjustment", "lot")
_CSV = ("row", "unit", *_COLUMNS, *_NAMES, "expires_at", "balance", "entry")
_STYLE = """
body { font: 11pt/1.45 system-ui, sans-serif; color: #000; background: #fff; margin: 2rem auto;
  max-width: 50rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
caption { text-align: left; font-weight: bold; padding: .3rem 0; }
th, td { border-bottom: 1px solid #767676; padding: .25rem .5rem; text-align: left;
  vertical-align: top; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tfoot td, tfoot th { font-weight: bold; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
@page { margin: 18mm; }
@media print { body { margin: 0; max-width: none; font-size: 10pt; } }
"""


def as_csv(statement: Statement) -> str:
    """One row for each figure; `row` says which: opening, entry, lapsed, closing, ends-next."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _CSV, restval="")
    writer.writeheader()
    for section in statement["units"]:
        for row in _rows(statement, section):
            writer.writerow({"unit": section["unit"], **row})
    return out.getvalue()


def _rows(statement: Statement, section: Mapping[str, Any]) -> Iterable[dict[str, object]]:
    yield {"row": "opening", "at": statement["begins_at"], "balance": section["opening"]}
    for line in section["entries"]:
        shown = {name: line[name] for name in (*_COLUMNS, *_NAMES, "expires_at") if line.get(name)}
        yield {"row": "entry", **shown, "entry": line["id"]}
    yield {"row": "lapsed", "change": -section["lapsed"]}
    is_over = statement["is_over"]
    at = statement["ends_at"] if is_over else statement["known_at"]
    closing = "closing" if is_over else "closing-so-far"
    yield {"row": closing, "at": at, "balance": section["closing"]}
    for part in section["ends_next"]:
        yield {"row": "ends-next", "points": part["points"], "expires_at": part["expires_at"]}


def as_html(statement: Statement) -> str:
    """The page."""
    member, month = escape(statement["member"]), escape(statement["month"])
    until = "" if statement["is_over"] else _not_over(statement)
    sections = "".join(_section(statement, section) for section in statement["units"])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Statement of {member}, {month}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>Statement of member {member}</h1>\n"
        f"<p>{month}: from {_time(statement['begins_at'])} until before "
        f"{_time(statement['ends_at'])} ({escape(statement['time_zone'])}), as known at "
        f"{_time(statement['known_at'])}.</p>\n{until}"
        f"{sections or '<p>Nothing was ever recorded by the end of this month.</p>'}\n"
        "</main>\n</body>\n</html>\n"
    )


def _not_over(statement: Statement) -> str:
    return (
        "<p><strong>This month is not over.</strong> The closing balance is that of "
        f"{_time(statement['known_at'])}; more may come.</p>\n"
    )


def _section(statement: Statement, section: Mapping[str, Any]) -> str:
    unit = escape(section["unit"])
    closing = "Closing balance" if statement["is_over"] else "Balance so far"
    rows = "".join(_entry(line) for line in section["entries"])
    lapsed = _sum("Lots that ended, not entered yet", -section["lapsed"])
    return (
        f"<section>\n<h2>{unit}</h2>\n<table>\n<caption>Entries of {unit}</caption>\n"
        '<thead><tr><th scope="col">When</th><th scope="col">What</th>'
        '<th scope="col">Where and for what</th><th scope="col" class="number">Change</th></tr>'
        f"</thead>\n<tbody>\n{_sum('Opening balance', section['opening'])}{rows}"
        f"{lapsed if section['lapsed'] else ''}</tbody>\n"
        f"<tfoot>{_sum(closing, section['closing'])}</tfoot>\n</table>\n"
        f"{_ends(unit, section['ends_next'])}</section>\n"
    )


def _entry(line: Mapping[str, Any]) -> str:
    named = ", ".join(f"{name} {escape(str(line[name]))}" for name in _NAMES[:-1] if name in line)
    where = escape(line["merchant"]) + (f": {named}" if named else "")
    what = escape(line["type"].removeprefix("points.").replace("-", " "))
    return (
        f"<tr><td>{_time(line['at'])}</td><td>{what}</td><td>{where}</td>"
        f'<td class="number">{line["change"]:+d}</td></tr>\n'
    )


def _sum(name: str, points: int) -> str:
    return (
        f'<tr><th scope="row" colspan="3">{escape(name)}</th>'
        f'<td class="number">{points}</td></tr>\n'
    )


def _ends(unit: str, ends: list[Mapping[str, Any]]) -> str:
    if not ends:
        return f"<p>None of these {unit} have an end.</p>\n"
    rows = "".join(
        f'<tr><td>{_time(part["expires_at"])}</td><td class="number">{part["points"]}</td></tr>\n'
        for part in ends
    )
    return (
        f"<table>\n<caption>{unit.capitalize()} that end next</caption>\n"
        '<thead><tr><th scope="col">Worth nothing from</th>'
        f'<th scope="col" class="number">How many</th></tr></thead>\n<tbody>\n{rows}</tbody>\n'
        "</table>\n"
    )


def _time(text: str) -> str:
    return f'<time datetime="{escape(text)}">{escape(text[:16].replace("T", " "))}</time>'
