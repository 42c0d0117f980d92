"""What the doors check beyond the schemas."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.ledger.intake import Malformed, Rules, asked_by, command, key_of, read
from services.runtime.stream import Record

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
RULES = Rules(is_accepted_currency=lambda currency: currency == "USD", clock=lambda: NOW)


def line(name: str = "1", amount_minor: int = 100) -> dict[str, object]:
    return {"line": name, "sku": "milk", "quantity": 1, "amount_minor": amount_minor}


def purchase(**changes: object) -> dict[str, object]:
    data = {"purchased_at": NOW.isoformat(), "currency": "USD", "lines": [line()], "member": "m"}
    return {**data, **changes}


def blamed(data: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(Malformed) as refused:
        command("grocer", "purchase", "p-1", data, rules=RULES)
    return [(error["pointer"], error["code"]) for error in refused.value.errors]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"currency": "EUR"}, [("/currency", "not-accepted")]),
        ({"lines": [line("1"), line("2"), line("1")]}, [("/lines/2/line", "repeated")]),
        ({"purchased_at": "1969-12-31T23:59:59Z"}, [("/purchased_at", "out-of-range")]),
        (
            {"purchased_at": (NOW + timedelta(days=1, seconds=1)).isoformat()},
            [("/purchased_at", "out-of-range")],
        ),
        ({"lines": [line("1", 10**15), line("2", 1)]}, [("/lines", "out-of-range")]),
        (
            {"currency": "EUR", "purchased_at": "1969-01-01T00:00:00Z"},
            [("/purchased_at", "out-of-range"), ("/currency", "not-accepted")],
        ),
        (
            {"currency": 7, "wish": 1, "lines": [{**line(), "quantity": -1}]},
            [("/lines/0/quantity", "out-of-range"), ("/currency", "wrong-type")],
        ),
    ],
)
def test_names_every_bad_field(changes: dict[str, object], expected: list[tuple[str, str]]) -> None:
    assert set(expected) <= set(blamed(purchase(**changes)))


def test_a_purchase_may_lie_a_day_ahead() -> None:
    ahead = purchase(purchased_at=(NOW + timedelta(days=1)).isoformat())

    assert command("grocer", "purchase", "p-1", ahead, rules=RULES).id == "p-1"


def test_content_is_the_same_however_it_was_written() -> None:
    one = command("grocer", "purchase", "p-1", purchase(shop="1"), rules=RULES)
    reordered = dict(reversed(purchase(shop="1").items()))
    two = command("grocer", "purchase", "p-1", reordered, rules=RULES)

    assert one.fingerprint == two.fingerprint


def test_names_of_commands_never_meet() -> None:
    names = [("a", "bc", "d"), ("ab", "c", "d"), ("a", "b", "cd"), ("a", "bc", "e")]

    assert len({key_of(*name) for name in names}) == len(names)


def test_reads_what_it_writes_and_binary_mode_alike() -> None:
    sent = command("grocer", "purchase", "p-1", purchase(), rules=RULES)
    message = sent.message("m")
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_type", b"stampbook.purchase"),
        ("ce_source", b"grocer"),
        ("ce_id", b"p-1"),
    )

    structured = read(Record(0, 0, "m", message.value, (), 0), rules=RULES)
    binary = read(Record(0, 0, "m", sent.content, headers, 0), rules=RULES)

    assert structured == binary == sent


ADJUSTMENT = {"member": "m", "unit": "points", "points": 1, "direction": "credit", "reason": "why"}


def test_whose_key_asks_travels_with_the_command_and_is_no_part_of_what_is_asked() -> None:
    sent = command("grocer", "adjustment", "a-1", ADJUSTMENT, rules=RULES)
    by_anna = asked_by(sent, "key-1 anna")
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_type", b"stampbook.adjustment"),
        ("ce_source", b"grocer"),
        ("ce_id", b"a-1"),
        ("ce_actor", b"key-1 anna"),
    )

    structured = read(Record(0, 0, "m", by_anna.message("m").value, (), 0), rules=RULES)
    binary = read(Record(0, 0, "m", sent.content, headers, 0), rules=RULES)

    assert structured == binary == by_anna
    assert by_anna.fingerprint == sent.fingerprint


@pytest.mark.parametrize(
    ("actor", "code"), [(None, "actor-missing"), ("key-1\nanna", "invalid"), ("", "invalid")]
)
def test_refuses_an_adjustment_that_is_nobodys(actor: str | None, code: str) -> None:
    envelope = {
        "specversion": "1.0",
        "type": "stampbook.adjustment",
        "source": "grocer",
        "id": "a-1",
        "data": ADJUSTMENT,
        **({} if actor is None else {"actor": actor}),
    }

    with pytest.raises(Malformed) as refused:
        read(Record(0, 0, "m", json.dumps(envelope).encode(), (), 0), rules=RULES)

    assert refused.value.code == code
    assert asked_by(command("grocer", "purchase", "p", purchase(), rules=RULES), None).actor is None
