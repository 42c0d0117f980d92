"""Events arrive at a merchant's own address: signed, in order, each at least once."""

import time
from collections.abc import Callable, Iterator

import pytest
from standardwebhooks import Webhook

from tests.e2e import answers
from tests.e2e.shop import Json, Shop, problem
from tests.support.eventually import eventually
from tests.support.receiver import Call, Receiver, broken, ok

AddEndpoint = Callable[..., str]


@pytest.fixture
def add_endpoint(shop: Shop, receiver: Receiver) -> Iterator[AddEndpoint]:
    """Makes endpoints of the grocer at paths of the receiver; returns their secrets."""
    made: list[str] = []

    def add(path: str, *types: str, **wish: object) -> str:
        id_ = shop.name(path.strip("/"))
        content = {"url": receiver.url(path), "types": types or ["*"], **wish}
        answer = shop.client.put(f"/v1/endpoints/{id_}", json=content)
        assert answer.status_code == 201, answer.text
        made.append(id_)
        return str(answer.json()["secret"])

    yield add
    for id_ in made:
        shop.client.delete(f"/v1/endpoints/{id_}")


def verified(call: Call, secret: str) -> Json:
    """The event, if a receiver's library believes the signature."""
    event: Json = Webhook(secret).verify(call.body.decode(), dict(call.headers))
    return event


def first_positions(calls: list[Call], member: str) -> list[int]:
    """In the order in which a member's events came for the first time."""
    return list(dict.fromkeys(call.position for call in calls if call.member == member))


def test_an_endpoint_gets_what_it_asked_for_signed(
    shop: Shop, receiver: Receiver, add_endpoint: AddEndpoint
) -> None:
    secret = add_endpoint("/hook", "points.*")
    member = shop.name("m")
    shop.buy(shop.name("b"), member, 2_000)

    eventually(lambda: receiver.got("/hook"))

    [call] = receiver.got("/hook")
    event = verified(call, secret)
    answers.check_event(event)
    [_, logged] = shop.events(member=member)
    assert event == logged
    assert call.id == event["id"]
    again = shop.client.put(
        f"/v1/endpoints/{shop.name('hook')}",
        json={"url": receiver.url("/hook"), "types": ["points.*"]},
    )
    assert (again.status_code, "secret" in again.json()) == (200, False)


def test_an_endpoint_that_was_ill_gets_everything_in_order_per_member(
    shop: Shop, receiver: Receiver, add_endpoint: AddEndpoint
) -> None:
    receiver.answer("/ill", broken)
    secret = add_endpoint("/ill")
    members = [shop.name(f"m{number}") for number in range(4)]
    before = shop.end_of_log()
    for turn in range(3):
        for member in members:
            shop.buy(shop.name(f"b{turn}-{member}"), member, 1_000)
    for member in members:
        shop.wait_for_points(member, 3)
    expected = {member: list(shop.events(after=before, member=member)) for member in members}

    eventually(lambda: len(receiver.got("/ill")) >= len(members))
    receiver.hang("/ill")
    eventually(lambda: attempts_without_answer(shop, "ill") > 0)
    receiver.answer("/ill", ok)

    wanted = {event["id"] for events in expected.values() for event in events}
    eventually(lambda: wanted <= {call.id for call in receiver.got("/ill")}, timeout_s=60)
    for call in receiver.got("/ill"):
        verified(call, secret)
    for member, events in expected.items():
        positions = [event["position"] for event in events]
        assert first_positions(receiver.got("/ill"), member) == positions
    eventually(lambda: shop.get(f"endpoints/{shop.name('ill')}/lag")["events"] == 0)


def attempts_without_answer(shop: Shop, endpoint: str) -> int:
    deliveries = shop.get(f"endpoints/{shop.name(endpoint)}/deliveries", limit=1_000)["items"]
    attempts = [attempt for delivery in deliveries for attempt in delivery["attempts"]]
    return sum("status" not in attempt for attempt in attempts)


def test_an_endpoint_that_hangs_slows_no_other(
    shop: Shop, receiver: Receiver, add_endpoint: AddEndpoint
) -> None:
    receiver.hang("/slow")
    add_endpoint("/slow")
    add_endpoint("/fast")
    member = shop.name("m")
    began_s = time.monotonic()

    for number in range(10):
        shop.buy(shop.name(f"b{number}"), member, 1_000)
        eventually(lambda: len(receiver.got("/fast")) > 2 * number)  # noqa: B023
    eventually(lambda: len(receiver.got("/fast")) == 20)

    # Had each event waited for the endpoint that hangs, this would have taken 20 s at least.
    assert time.monotonic() - began_s < 12
    assert len({call.id for call in receiver.got("/slow")}) == 1
    lag = shop.get(f"endpoints/{shop.name('slow')}/lag")
    assert lag["events"] == 20


def test_a_replay_sends_the_same_events_again_in_the_same_order(
    shop: Shop, receiver: Receiver, add_endpoint: AddEndpoint
) -> None:
    secret = add_endpoint("/again")
    members = [shop.name(f"m{number}") for number in range(3)]
    for turn in range(3):
        for member in members:
            shop.buy(shop.name(f"b{turn}-{member}"), member, 1_000)
    eventually(lambda: len({call.id for call in receiver.got("/again")}) == 18)
    eventually(lambda: shop.get(f"endpoints/{shop.name('again')}/lag")["events"] == 0)
    first = receiver.got("/again")
    after = sorted(call.position for call in first)[5]

    asked = shop.client.post(f"/v1/endpoints/{shop.name('again')}/replay", json={"after": after})

    assert asked.status_code == 202
    eventually(lambda: len(receiver.got("/again")) >= len(first) + 12)
    second = receiver.got("/again")[len(first) :]
    bodies = {call.id: call.body for call in first}
    assert {call.id: call.body for call in second} == {
        call.id: bodies[call.id] for call in first if call.position > after
    }
    for member in members:
        positions = [call.position for call in second if call.member == member]
        assert positions == sorted(positions)
    for call in second:
        verified(call, secret)


def test_an_endpoint_can_begin_in_the_past_and_be_paused(
    shop: Shop, receiver: Receiver, add_endpoint: AddEndpoint
) -> None:
    before = int(shop.end_of_log())
    member = shop.name("m")
    shop.buy(shop.name("b1"), member, 1_000)
    shop.wait_for_points(member, 1)
    add_endpoint("/past", **{"from": before})
    eventually(lambda: len(receiver.got("/past")) == 2)

    paused = shop.client.post(f"/v1/endpoints/{shop.name('past')}/pause")
    shop.buy(shop.name("b2"), member, 1_000)
    eventually(lambda: shop.get(f"endpoints/{shop.name('past')}/lag")["events"] == 2)
    is_silent = len(receiver.got("/past")) == 2
    shop.client.post(f"/v1/endpoints/{shop.name('past')}/resume")

    assert paused.json()["state"] == "paused"
    assert is_silent
    eventually(lambda: len(receiver.got("/past")) == 4)
    assert receiver.positions("/past") == sorted(receiver.positions("/past"))


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/",
        "https://192.168.1.7/hook",
        "http://169.254.169.254/latest/meta-data",
        "http://[fd00::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://2130706434/",
    ],
)
def test_an_address_inside_our_network_is_refused(shop: Shop, url: str) -> None:
    answer = shop.client.put(f"/v1/endpoints/{shop.name('e')}", json={"url": url, "types": ["*"]})

    assert problem(answer, 422) == "address-not-allowed"
    assert answer.json()["errors"][0]["pointer"] == "/url"


def test_a_merchants_endpoint_hears_of_its_own_business_only(
    shop: Shop, receiver: Receiver
) -> None:
    made = shop.client.post("/v1/keys", json={"role": "merchant", "merchant": shop.name("own")})
    with shop.installation.client(made.json()["key"]) as own:
        content = {"url": receiver.url("/own"), "types": ["purchase.recorded"]}
        assert own.put("/v1/endpoints/e", json=content).status_code == 201
        shop.buy(shop.name("b1"), shop.name("m"), 1_000)
        own.put("/v1/purchases/b2", json=shop.purchase(shop.name("m"), 1_000))
        eventually(lambda: receiver.got("/own"))
        assert own.delete("/v1/endpoints/e").status_code == 204

    assert [call.event["data"]["purchase"] for call in receiver.got("/own")] == ["b2"]
