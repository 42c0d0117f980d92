"""Programmes written down, given their time, and announced."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from services.rewards.application import Programmes, VersionNow
from services.rewards.domain.errors import (
    AlreadyActivated,
    InThePast,
    NotActivated,
    Refused,
    UnknownProgramme,
    UnknownVersion,
    VersionRetired,
    VersionReused,
)
from services.rewards.domain.schedule import State
from services.rewards.publisher import relay
from services.runtime.contracts import Contract
from tests.support.eventually import eventually
from tests.support.rewards_desk import GROCER, START, RewardsDesk

YAML = "application/yaml"
DOUBLED = GROCER.replace("points: 1,", "points: 2,")


@pytest.fixture
def programmes(desk: RewardsDesk) -> Programmes:
    return desk.programmes


def written(programmes: Programmes, number: int = 1, text: str = GROCER) -> VersionNow:
    found, _ = programmes.write_down("grocer", number, text.encode(), YAML)
    return found


def facts(desk: RewardsDesk) -> list[dict[str, Any]]:
    """What stands on topic ``rewards`` after the relay has run."""
    desk.stream.appended.clear()
    desk.stream.stop.clear()
    publisher = relay(desk.footing)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(publisher.run, desk.stream.stop)
        eventually(lambda: running.done() or not publisher.lag())
        desk.stream.stop.set()
        running.result(timeout=10)
    found = [(m.key, json.loads(m.value)) for t, m in desk.stream.appended if t == "rewards"]
    for key, event in found:
        name = event["type"].removeprefix("stampbook.")
        assert Contract.of(f"events/{name}").errors(event) == []
        assert key == event["data"]["programme"]
    return [event for _, event in found]


def test_a_version_is_written_down_once(programmes: Programmes) -> None:
    found, is_new = programmes.write_down("grocer", 1, GROCER.encode(), YAML)
    again, is_again_new = programmes.write_down("grocer", 1, b"# same\n" + GROCER.encode(), YAML)

    assert (is_new, is_again_new) == (True, False)
    assert found.state is State.DRAFT
    assert again.stored == found.stored


def test_a_version_never_changes(programmes: Programmes) -> None:
    before = written(programmes)

    with pytest.raises(VersionReused):
        programmes.write_down("grocer", 1, DOUBLED.encode(), YAML)

    assert programmes.find("grocer", 1) == before


def test_keeps_the_very_text_and_what_it_says(programmes: Programmes) -> None:
    written(programmes, text="# Für die Bäckerin\n" + GROCER)

    stored = programmes.find("grocer", 1).stored

    assert stored.written == "# Für die Bäckerin\n" + GROCER
    assert json.loads(stored.document)["rules"]["base"]["earn"]["per"] == "10.00"


def test_a_version_is_activated_once_from_now_on(desk: RewardsDesk) -> None:
    written(desk.programmes)
    desk.now += timedelta(milliseconds=700)

    first = desk.programmes.activate("grocer", 1)
    desk.now += timedelta(hours=1)
    again = desk.programmes.activate("grocer", 1)

    assert first.stored.activated_at == START
    assert again == first
    assert first.state is State.ACTIVE
    assert len(facts(desk)) == 1


def test_a_version_can_wait_for_its_day(desk: RewardsDesk) -> None:
    written(desk.programmes)
    monday = START + timedelta(days=3)

    found = desk.programmes.activate("grocer", 1, at=monday)

    assert found.state is State.SCHEDULED
    assert desk.programmes.overview("grocer").in_force is None
    desk.now = monday
    assert desk.programmes.overview("grocer").in_force == 1


def test_a_later_version_takes_over(desk: RewardsDesk) -> None:
    desk.adopt()
    desk.now += timedelta(days=1)
    desk.adopt(DOUBLED)

    overview = desk.programmes.overview("grocer")

    assert overview.in_force == 2
    assert [found.state for found in overview.versions] == [State.SUPERSEDED, State.ACTIVE]


def test_retiring_ends_it_once(desk: RewardsDesk) -> None:
    desk.adopt()
    desk.now += timedelta(days=1)

    first = desk.programmes.retire("grocer", 1)
    desk.now += timedelta(days=1)
    again = desk.programmes.retire("grocer", 1)

    assert first.stored.retired_at == START + timedelta(days=1)
    assert again == first
    assert first.state is State.RETIRED
    assert desk.programmes.overview("grocer").in_force is None


def test_says_what_happened_in_order(desk: RewardsDesk) -> None:
    desk.adopt()
    desk.now += timedelta(days=1, microseconds=300)
    desk.adopt(DOUBLED)
    desk.programmes.retire("grocer", 2, at=START + timedelta(days=9))

    found = facts(desk)

    assert [(fact["position"], fact["type"], fact["data"]) for fact in found] == [
        (
            1,
            "stampbook.programme.activated.v1",
            {"programme": "grocer", "version": 1, "at": "2026-05-01T12:00:00Z"},
        ),
        (
            2,
            "stampbook.programme.activated.v1",
            {"programme": "grocer", "version": 2, "at": "2026-05-02T12:00:00Z"},
        ),
        (
            3,
            "stampbook.programme.retired.v1",
            {"programme": "grocer", "version": 2, "at": "2026-05-10T12:00:00Z"},
        ),
    ]
    assert [fact["recordedat"] for fact in found][1:] == ["2026-05-02T12:00:00.000300Z"] * 2
    assert len({fact["id"] for fact in found}) == 3


_PAST = START - timedelta(seconds=1)
_REFUSALS: list[tuple[Callable[[Programmes], object], type[Refused]]] = [
    (lambda p: p.overview("baker"), UnknownProgramme),
    (lambda p: p.find("grocer", 9), UnknownVersion),
    (lambda p: p.activate("grocer", 9), UnknownVersion),
    (lambda p: p.retire("baker", 1), UnknownVersion),
    (lambda p: p.retire("grocer", 2), NotActivated),
    (lambda p: p.activate("grocer", 2, at=_PAST), InThePast),
    (lambda p: p.retire("grocer", 1, at=_PAST), InThePast),
    (lambda p: p.activate("grocer", 1, at=START + timedelta(days=1)), AlreadyActivated),
    (lambda p: p.activate("grocer", 3), VersionRetired),
    (lambda p: p.retire("grocer", 3, at=START + timedelta(days=1)), VersionRetired),
]


def test_refuses_and_changes_nothing(desk: RewardsDesk) -> None:
    programmes = desk.programmes
    for number in (1, 2, 3):
        written(programmes, number)
    programmes.activate("grocer", 1)
    programmes.activate("grocer", 3)
    programmes.retire("grocer", 3)
    before = programmes.overview("grocer")

    for ask, refusal in _REFUSALS:
        with pytest.raises(refusal):
            ask(programmes)

    assert programmes.overview("grocer") == before
    assert len(facts(desk)) == 3


def test_a_document_that_is_active_already_changes_nothing(desk: RewardsDesk) -> None:
    desk.adopt()
    desk.now += timedelta(days=1)

    assert desk.adopt("# a comment more\n" + GROCER) == 1
    assert desk.programmes.overview("grocer").versions[0].stored.activated_at == START
    assert len(facts(desk)) == 1


def test_a_changed_document_becomes_the_next_version(desk: RewardsDesk) -> None:
    desk.adopt()
    written(desk.programmes, 7)

    assert desk.adopt(DOUBLED) == 8
    assert desk.adopt(GROCER) == 9
    assert desk.programmes.overview("grocer").in_force == 9


def test_a_restart_does_not_bring_back_what_an_operator_retired(desk: RewardsDesk) -> None:
    desk.adopt()
    desk.programmes.retire("grocer", 1)

    desk.adopt()

    assert desk.programmes.overview("grocer").in_force is None


def test_lists_programmes_by_name_and_page(desk: RewardsDesk) -> None:
    for name in ("grocer", "baker", "coalition"):
        desk.adopt(GROCER.replace("grocer", name))

    first = desk.programmes.page(after="", limit=2)
    rest = desk.programmes.page(after="coalition", limit=2)

    assert [overview.programme for overview in first] == ["baker", "coalition"]
    assert [overview.programme for overview in rest] == ["grocer"]


def test_a_till_may_send_the_currencies_of_programmes_that_hold_or_will(desk: RewardsDesk) -> None:
    assert desk.programmes.currencies() == frozenset()
    desk.adopt()
    desk.adopt(GROCER.replace("grocer", "baker").replace("USD", "EUR"))
    desk.programmes.retire("baker", 1)
    yens = GROCER.replace("grocer", "sushi").replace("USD", "JPY").replace("10.00", "1000")
    desk.programmes.write_down("sushi", 1, yens.encode(), YAML)
    assert desk.programmes.currencies() == {"USD"}

    desk.programmes.activate("sushi", 1, at=START + timedelta(days=1))

    assert desk.programmes.currencies() == {"USD", "JPY"}


def test_at_once_is_one_after_another(desk: RewardsDesk) -> None:
    texts = [GROCER, DOUBLED] * 4

    def change(text: str) -> bool:
        try:
            written(desk.programmes, 1, text)
        except VersionReused:
            return False
        desk.programmes.activate("grocer", 1)
        return True

    with ThreadPoolExecutor(8) as pool:
        changed = list(pool.map(change, texts))

    assert sorted(changed) == [False] * 4 + [True] * 4
    [fact] = facts(desk)
    assert fact["position"] == 1
