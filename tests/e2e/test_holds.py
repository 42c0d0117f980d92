"""A hold: two tills, one hold, and whoever comes second is told what became of it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx

from tests.e2e.shop import Shop, ago, problem
from tests.support.eventually import eventually

TILLS = 8


def hold(shop: Shop, id_: str, member: str, points: int, *, for_s: float = 3_600) -> httpx.Response:
    content = {
        "member": member,
        "unit": "points",
        "points": points,
        "expires_at": ago(seconds=-for_s),
    }
    return shop.put(f"holds/{id_}", content)


def balance(shop: Shop, member: str) -> dict[str, Any]:
    found = shop.balance(member)
    assert found is not None
    return {name: found[name] for name in ("available", "pending", "held")}


def test_what_is_held_is_captured_in_part_and_the_rest_comes_back(shop: Shop) -> None:
    member, id_ = shop.name("m"), shop.name("h")
    shop.buy(shop.name("b"), member, 10_000)
    shop.wait_for_points(member, 10)

    assert hold(shop, id_, member, 8).status_code == 200
    assert balance(shop, member) == {"available": 2, "pending": 0, "held": 8}
    assert problem(shop.redeem(shop.name("r"), member, 3), 409) == "not-enough-points"
    captured = shop.put(f"holds/{id_}/capture", {"points": 5, "purchase": shop.name("order")})

    assert (captured.status_code, captured.json()["outcome"]) == (200, "recorded")
    assert balance(shop, member) == {"available": 5, "pending": 0, "held": 0}
    types = [event["type"] for event in shop.events(member=member)]
    assert types[-3:] == [
        f"stampbook.points.{name}.v1" for name in ("held", "captured", "released")
    ]
    *_, earned = (entry for entry in shop.entries(member) if entry["type"] == "points.earned")
    [paid] = shop.get(f"entries/{earned['id']}/why")["paid_for"]
    assert (paid["hold"], paid["points"], paid["purchase"]) == (id_, 5, shop.name("order"))


def test_two_tills_and_one_hold(shop: Shop) -> None:
    member, id_ = shop.name("m"), shop.name("h")
    shop.buy(shop.name("b"), member, 10_000)
    shop.wait_for_points(member, 10)
    hold(shop, id_, member, 10)
    together = Barrier(TILLS)

    def end(number: int) -> httpx.Response:
        together.wait()
        return shop.put(f"holds/{id_}/{'capture' if number % 2 else 'release'}", {})

    with ThreadPoolExecutor(TILLS) as tills:
        answers = list(tills.map(end, range(TILLS)))

    refused = {problem(answer, 409) for answer in answers if answer.status_code != 200}
    assert len([answer for answer in answers if answer.status_code == 200]) == TILLS // 2
    spent = shop.points(member) == 0
    assert refused == {"hold-captured" if spent else "hold-released"}


def test_the_clock_ends_a_hold_that_nobody_captured(shop: Shop) -> None:
    member, id_ = shop.name("m"), shop.name("h")
    shop.buy(shop.name("b"), member, 10_000)
    shop.wait_for_points(member, 10)

    hold(shop, id_, member, 4, for_s=2)
    assert problem(hold(shop, shop.name("h-2"), member, 1, for_s=-5), 409) == "hold-expired"
    eventually(lambda: balance(shop, member)["held"] == 0)

    assert balance(shop, member)["available"] == 10
    assert problem(shop.put(f"holds/{id_}/capture", {}), 409) == "hold-expired"
    assert problem(shop.put(f"holds/{shop.name('x')}/release", {}), 409) == "unknown-hold"
