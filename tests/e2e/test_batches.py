"""Many commands at once, by many clients, again and again, in any order."""

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.e2e.shop import Shop, ago
from tests.support.eventually import eventually
from tests.support.grocer import points_for

NDJSON = {"Content-Type": "application/x-ndjson"}
CLIENTS = 8


def post(shop: Shop, *lines: dict[str, Any] | str, **headers: str) -> list[dict[str, Any]]:
    """Send a batch; returns the lines of the answer."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    answer = shop.client.post(
        "/v1/batches", content="\n".join(texts).encode(), headers={**NDJSON, **headers}
    )
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_batch_is_answered_line_by_line_and_a_bad_line_stops_no_other(shop: Shop) -> None:
    member, first, second = shop.name("m"), shop.name("b1"), shop.name("b2")
    lines: list[dict[str, Any] | str] = [
        {"type": "purchase", "id": first, **shop.purchase(member, 2_000)},
        "{not json",
        {"type": "purchase", "id": shop.name("bad"), **shop.purchase(member, 2_000), "x": 1},
        {"type": "redemption", "id": shop.name("r"), "member": member, "unit": "points",
         "points": 999},
        {"type": "purchase", "id": second, **shop.purchase(member, 3_000)},
        {"type": "return", "id": f"{second}/r1", "returned_at": ago(minutes=1),
         "lines": [{"line": "1", "quantity": 1, "amount_minor": 3_000}]},
    ]  # fmt: skip

    answered = post(shop, *lines)
    again = post(shop, *lines)

    assert [line.get("outcome") or line["code"] for line in answered] == [
        *("recorded", "not-json", "invalid", "declined", "recorded", "recorded")
    ]
    assert answered[3]["code"] == "not-enough-points"
    assert answered == again
    shop.wait_for_points(member, 2)


def test_a_batch_need_not_wait(shop: Shop) -> None:
    member = shop.name("m")
    line = {"type": "purchase", "id": shop.name("b"), **shop.purchase(member, 1_000)}

    [answered] = post(shop, line, Prefer="respond-async")

    assert answered["outcome"] == "accepted"
    shop.wait_for_points(member, 1)


def test_200_purchases_sent_again_and_again_by_8_clients_count_once_each(shop: Shop) -> None:
    chance = random.Random(200)
    amounts = {shop.name(f"b{number}"): chance.randrange(10_000) for number in range(200)}
    members = {id_: shop.name(f"m{chance.randrange(7)}") for id_ in amounts}
    contents = {id_: shop.purchase(members[id_], amounts[id_]) for id_ in amounts}
    sendings = [id_ for id_ in amounts for _ in range(chance.randint(1, 5))]
    chance.shuffle(sendings)

    def send(id_: str) -> int:
        return shop.client.put(f"/v1/purchases/{id_}", json=contents[id_]).status_code

    with ThreadPoolExecutor(CLIENTS) as pool:
        statuses = set(pool.map(send, sendings))

    assert statuses == {202}
    expected: Counter[str] = Counter()
    for id_, amount in amounts.items():
        expected[members[id_]] += points_for(amount)
    eventually(lambda: {member: shop.points(member) for member in expected} == dict(expected))
    recorded = Counter(
        event["data"]["purchase"]
        for event in shop.events(type="purchase.recorded")
        if event["data"]["purchase"] in amounts
    )
    assert set(recorded.values()) == {1}
    assert len(recorded) == 200
