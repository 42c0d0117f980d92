"""Stopped or killed, an installation keeps what it has acknowledged."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from random import Random

import httpx
import pytest

from tests.e2e.shop import Shop
from tests.support.eventually import eventually
from tests.support.full import start_all
from tests.support.grocer import points_for
from tests.support.installation import Installation
from tests.support.receiver import Receiver

STOPS_WITHIN_S = 5


@pytest.fixture
def back_up(installation: Installation) -> Iterator[Callable[[], None]]:
    """Starts what does not run, now and at the end: other stories need it."""

    def start_what_is_down() -> None:
        down = [server for server in installation.processes.values() if not server.is_running]
        start_all(down)

    yield start_what_is_down
    start_what_is_down()


def test_drains_and_stops_in_time_while_others_listen(
    shop: Shop, receiver: Receiver, back_up: Callable[[], None]
) -> None:
    receiver.hang("/hook")
    hook = {"url": receiver.url("/hook"), "types": ["*"]}
    shop.client.put(f"/v1/endpoints/{shop.name('e')}", json=hook)
    shop.buy(shop.name("b"), shop.name("m"), 3_000)
    shop.wait_for_points(shop.name("m"), 3)
    ndjson = {"Accept": "application/x-ndjson"}

    with ExitStack() as listening:
        log = listening.enter_context(
            shop.client.stream("GET", "/v1/events", params={"follow": True}, headers=ndjson)
        )
        next(log.iter_lines())
        stops = stop_all_at_once(shop.installation)

    assert {role: status for role, (status, _) in stops.items()} == dict.fromkeys(stops, 0)
    assert {role for role, (_, took_s) in stops.items() if took_s > STOPS_WITHIN_S} == set()
    back_up()
    shop.wait_for_points(shop.name("m"), 3)
    shop.client.delete(f"/v1/endpoints/{shop.name('e')}")


def stop_all_at_once(installation: Installation) -> dict[str, tuple[int | None, float]]:
    """Exit status of each role, and how long it took."""

    def stop(role: str) -> tuple[int | None, float]:
        began = time.monotonic()
        return installation.processes[role].stop(), time.monotonic() - began

    with ThreadPoolExecutor(len(installation.roles)) as pool:
        return dict(zip(installation.roles, pool.map(stop, installation.roles), strict=True))


def test_200_purchases_sent_by_8_clients_while_it_is_killed_count_once_each(
    shop: Shop, back_up: Callable[[], None]
) -> None:
    chance = Random(8)
    amounts = {shop.name(f"b{number}"): chance.randrange(10_000) for number in range(200)}
    members = {id_: shop.name(f"m{chance.randrange(5)}") for id_ in amounts}
    contents = {id_: shop.purchase(members[id_], amounts[id_]) for id_ in amounts}
    sendings = [id_ for id_ in amounts for _ in range(chance.randint(1, 5))]
    chance.shuffle(sendings)
    sent: list[str] = []

    def is_accepted(id_: str) -> bool:
        try:
            answer = impatient.put(f"/v1/purchases/{id_}", json=contents[id_])
        except httpx.TransportError:
            return False
        assert answer.status_code in (202, 502, 503), answer.text
        return answer.status_code == 202

    def send(id_: str) -> None:
        eventually(lambda: is_accepted(id_), timeout_s=60)
        sent.append(id_)

    with shop.installation.client() as impatient, ThreadPoolExecutor(8) as pool:
        done = [pool.submit(send, id_) for id_ in sendings]
        for number in range(1, 5):
            eventually(lambda: len(sent) > number * len(sendings) // 6)  # noqa: B023
            shop.installation.kill(chance.choice(shop.installation.roles))
            back_up()
        for each in done:
            each.result()

    expected: Counter[str] = Counter()
    for id_, amount in amounts.items():
        expected[members[id_]] += points_for(amount)
    eventually(lambda: {member: shop.points(member) for member in expected} == dict(expected))
    earned = [entry["purchase"] for member in expected for entry in shop.entries(member)]
    assert sorted(earned) == sorted(id_ for id_, amount in amounts.items() if points_for(amount))


def test_killed_it_loses_nothing_that_was_acknowledged(
    shop: Shop, back_up: Callable[[], None]
) -> None:
    member = shop.name("m")
    ids = [shop.name(f"b{number}") for number in range(50)]
    statuses = {
        shop.client.put(f"/v1/purchases/{id_}", json=shop.purchase(member, 1_000)).status_code
        for id_ in ids
    }

    for role in shop.installation.roles:
        shop.installation.kill(role)
    back_up()

    assert statuses == {202}
    shop.wait_for_points(member, 50)
    assert [entry["purchase"] for entry in shop.entries(member)] == ids
    assert shop.installation.verify()["ok"] is True
