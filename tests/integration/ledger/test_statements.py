"""A member's month: it adds up, says what was known, and can be printed."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.ledger.views import monthly, printed
from services.ledger.views.balances import balances
from services.ledger.views.monthly import Month
from services.ledger.views.story import Moment
from services.runtime.clock import rfc3339
from services.runtime.database import Database
from tests.support.asyncs import soon
from tests.support.desk import START, Desk
from tests.support.ledger import Door, Ledger, answered, refused
from tests.support.story import STEPS, told

ZONES = st.sampled_from(["UTC", "Pacific/Kiritimati", "America/New_York", "Asia/Kathmandu"])


def balance_at(desk: Desk, at: datetime, known_at: datetime) -> int:
    with desk.database.read() as connection:
        lines = balances(connection, "1130", moment=Moment(at, known_at), now=desk.now) or []
    return sum(int(str(line["available"])) for line in lines)


def made(database: Database, month: Month) -> list[Any]:
    with database.read() as connection:
        return monthly.statement(connection, "1130", month, unit=None)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS, ZONES, st.sampled_from(["2026-04", "2026-05", "2026-06"]), st.integers(0, 900))
@example([("award", 50, -3, 10, "grocer"), ("wait", 48, False)], "UTC", "2026-05", 900)
def test_leads_from_the_balance_before_to_the_balance_after(
    steps: list[tuple[Any, ...]], zone: str, name: str, known_hours: int
) -> None:
    with told(steps) as desk:
        known_at = min(START + timedelta(hours=known_hours), desk.now)
        month = Month.of(name, ZoneInfo(zone), known_at=known_at)

        sections = made(desk.database, month)

        before = balance_at(desk, month.begins_at - timedelta(microseconds=1), known_at)
        after = balance_at(desk, min(month.ends_at - timedelta(microseconds=1), known_at), known_at)
        assert sum(section["opening"] for section in sections) == before
        assert sum(section["closing"] for section in sections) == after
        for section in sections:
            assert sum(line["change"] for line in section["entries"]) == section["change"]
            assert section["opening"] + section["change"] - section["lapsed"] == section["closing"]


async def a_month(ledger: Ledger) -> tuple[Door, str]:
    """Points earned last month and this; some spent, some that end, and what ends next."""
    door = ledger.door()
    now = ledger.clock()
    begins = datetime(now.year, now.month, 1, tzinfo=UTC)
    ledger.award(
        100,
        purchase="p-1",
        earned_at=rfc3339(begins - timedelta(days=1)),
        expires_at=rfc3339(now + timedelta(days=400)),
    )
    ledger.award(50, purchase="p-2", earned_at=rfc3339(begins), expires_at=None)
    await door.until_known()
    await door.redeem("s-1", 30)
    return door, rfc3339(now)[:7]


async def test_says_opening_entries_closing_and_what_ends_next(ledger: Ledger) -> None:
    door, name = await a_month(ledger)

    found = answered(
        await door.http.get(f"/v1/members/1130/statements/{name}"), "answers/statement"
    )

    [section] = found["units"]
    assert (found["is_over"], found["time_zone"]) == (False, "UTC")
    assert (section["opening"], section["change"], section["closing"]) == (100, 20, 120)
    assert [line["change"] for line in section["entries"]] == [50, -30]
    assert [part["points"] for part in section["ends_next"]] == [70]
    stars = await door.get(f"/members/1130/statements/{name}", unit="stars")
    assert stars["units"] == []


async def test_a_month_that_is_over_stays_as_it_was_known(ledger: Ledger) -> None:
    door, name = await a_month(ledger)
    known_at = rfc3339(ledger.clock())
    ledger.ahead = timedelta(days=40)
    late = datetime.fromisoformat(known_at) - timedelta(seconds=1)
    ledger.award(7, purchase="p-3", earned_at=rfc3339(late), expires_at=None)

    path = f"/members/1130/statements/{name}"
    now = await soon(lambda: door.get(path), lambda found: len(found["units"][0]["entries"]) == 3)
    then = await door.get(path, known_at=known_at)

    assert (now["is_over"], now["units"][0]["closing"]) == (True, 127)
    assert (then["is_over"], then["units"][0]["closing"]) == (False, 120)
    assert then["known_at"] == known_at


async def test_a_month_begins_where_the_time_zone_says(ledger: Ledger) -> None:
    door, name = await a_month(ledger)

    found = await door.get(f"/members/1130/statements/{name}", time_zone="Pacific/Kiritimati")

    assert found["begins_at"].endswith("-01T00:00:00+14:00")
    assert found["units"][0]["opening"] == 100


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        ("1130/statements/8999-12", {}, 422, "invalid-parameter"),
        ("1130/statements/2026-13", {}, 422, "invalid-parameter"),
        ("1130/statements/2026-05", {"time_zone": "Mars/Olympus"}, 422, "invalid-parameter"),
        ("9999/statements/2026-05", {}, 404, "unknown-member"),
    ],
)
async def test_refuses_what_it_cannot_answer(
    ledger: Ledger, path: str, params: dict[str, str], status: int, code: str
) -> None:
    door, _ = await a_month(ledger)

    refused(await door.http.get(f"/v1/members/{path}", params=params), status, code)


async def test_a_statement_that_does_not_add_up_is_never_shown(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    door, name = await a_month(ledger)
    with ledger.database.write() as connection:
        connection.execute("UPDATE lots SET points_left = points_left + 1 WHERE points = 50")

    for accept in ("application/json", "text/csv", "text/html"):
        response = await door.http.get(
            f"/v1/members/1130/statements/{name}", headers={"Accept": accept}
        )
        refused(response, 500, "sums-differ")

    assert "statement withheld" in caplog.text


async def test_a_month_with_too_many_entries_is_refused(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monthly, "ENTRIES_MAX", 1)
    door, name = await a_month(ledger)

    response = await door.http.get(f"/v1/members/1130/statements/{name}")

    refused(response, 422, "statement-too-long")


async def test_as_a_table_every_figure_has_its_row(ledger: Ledger) -> None:
    door, name = await a_month(ledger)

    response = await door.http.get(
        f"/v1/members/1130/statements/{name}", headers={"Accept": "text/csv"}
    )

    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert [row["row"] for row in rows] == [
        "opening",
        "entry",
        "entry",
        "lapsed",
        "closing-so-far",
        "ends-next",
    ]
    assert int(rows[0]["balance"]) + sum(int(row["change"] or 0) for row in rows) == int(
        rows[4]["balance"]
    )


class Outline(HTMLParser):
    """The elements of a page, and its words."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    return found


async def test_as_a_page_it_stands_by_itself_and_can_be_read_aloud(ledger: Ledger) -> None:
    door, name = await a_month(ledger)

    response = await door.http.get(
        f"/v1/members/1130/statements/{name}", headers={"Accept": "text/html,*/*;q=0.8"}
    )

    page = outline(response.text)
    tags = [tag for tag, _ in page.elements]
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert not {"script", "link", "img", "iframe", "form"} & set(tags)
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert page.elements[0] == ("html", {"lang": "en"})
    assert tags.count("h1") == tags.count("main") == tags.count("title") == 1
    assert tags.count("caption") == tags.count("table")
    assert all(attrs.get("scope") for tag, attrs in page.elements if tag == "th")
    words = " ".join(" ".join(page.words).split())
    assert "This month is not over." in words
    assert "Balance so far 120" in words
    assert "-30" in words


def test_everything_on_the_page_is_escaped() -> None:
    evil = '<script>alert("1")</script>'
    line = {"at": evil, "type": evil, "merchant": evil, "change": 1, "purchase": evil}
    section = {
        "unit": evil,
        "opening": 0,
        "entries": [line],
        "lapsed": 1,
        "closing": 0,
        "ends_next": [{"points": 1, "expires_at": evil}],
    }
    names = ("member", "month", "time_zone", "begins_at", "ends_at", "known_at")

    page = printed.as_html({**dict.fromkeys(names, evil), "is_over": True, "units": [section]})

    assert "<script" not in page.lower()
    assert "Lots that ended" in page
    assert "Nothing was ever recorded" in printed.as_html(
        {**dict.fromkeys(names, "x"), "is_over": True, "units": []}
    )
