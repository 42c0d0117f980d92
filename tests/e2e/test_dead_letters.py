"""What cannot be read is set aside, shown, sent again or dropped; nothing waits behind it."""

import json
from base64 import b64decode
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import FULL
from tests.e2e.shop import Json, Shop, problem
from tests.support.eventually import eventually
from tests.support.kafka_door import KafkaDoor, Sent, kafka_door

pytestmark = pytest.mark.parametrize("installation", [FULL], indirect=True)


@pytest.fixture
def door(shop: Shop) -> Iterator[KafkaDoor]:
    """Topic `intake`, for a shop that is on Kafka."""
    assert shop.installation.kafka_url is not None
    with kafka_door(shop.installation.kafka_url) as door:
        yield door


def envelope(id_: str, data: Json, **attributes: object) -> bytes:
    """A purchase as a CloudEvent, in structured mode."""
    event = {"specversion": "1.0", "type": "stampbook.purchase", "source": "grocer", "id": id_}
    return json.dumps({**event, "data": data, **attributes}).encode()


def letter_for(shop: Shop, sent: Sent) -> Json:
    """The letter about a message, whole, once it is there."""
    place = {"topic": "intake", "partition": sent.partition, "offset": sent.offset}

    def found() -> list[Json]:
        letters = shop.get("dead-letters", limit=1_000)["items"]
        return [letter for letter in letters if letter.items() >= place.items()]

    eventually(found)
    return shop.get(f"dead-letters/{found()[0]['id']}")


def test_a_shop_on_kafka_writes_as_one_on_rest(shop: Shop, door: KafkaDoor) -> None:
    member, first, second = shop.name("m"), shop.name("b1"), shop.name("b2")
    attributes = {
        "ce_specversion": "1.0",
        "ce_type": "stampbook.purchase",
        "ce_source": "grocer",
        "ce_id": second,
        "content-type": "application/json",
    }

    door.send([(member.encode(), envelope(first, shop.purchase(member, 2_000)))])
    door.send(
        [(member.encode(), json.dumps(shop.purchase(member, 3_000)).encode())],
        headers=[(name, value.encode()) for name, value in attributes.items()],
    )

    shop.wait_for_points(member, 5)
    content = shop.get(f"purchases/{first}")
    assert shop.get(f"outcomes/purchase/{second}")["outcome"] == "recorded"
    assert content["merchant"] == "grocer"


def test_a_message_that_cannot_be_read_stops_no_other(shop: Shop, door: KafkaDoor) -> None:
    member = shop.name("m")
    bad = envelope(shop.name("bad"), shop.purchase(member, -1, colour="red"))
    good = envelope(shop.name("good"), shop.purchase(member, 1_000))

    [sent, _] = door.send([(member.encode(), bad), (member.encode(), good)])

    shop.wait_for_points(member, 1)
    letter = letter_for(shop, sent)
    assert b64decode(letter["value"]) == bad
    assert (letter["code"], letter["state"], letter["key"]) == ("invalid", "parked", member)
    assert {error["pointer"] for error in letter["errors"]} == {
        "/colour",
        "/lines/0/amount_minor",
    }
    on_topic = [record.value for record in door.read("dead-letters")]
    eventually(lambda: bad in [record.value for record in door.read("dead-letters")])
    assert on_topic.count(bad) <= 1
    dropped = shop.client.post(f"/v1/dead-letters/{letter['id']}/drop", json={"reason": "a test"})
    assert (dropped.json()["state"], dropped.json()["reason"]) == ("dropped", "a test")


def test_a_letter_can_be_sent_again_once_it_can_be_read(shop: Shop, door: KafkaDoor) -> None:
    """Its currency belongs to no programme yet; then it does."""
    member, purchase = shop.name("m"), shop.name("b")
    run = shop.installation.stampbook
    reused = envelope(purchase, shop.purchase(member, 5_000, currency="JPY"))
    [sent] = door.send([(member.encode(), reused)])
    letter = letter_for(shop, sent)

    shown = json.loads(run("dead-letters", "show", letter["id"], "--json").stdout)
    again = run("dead-letters", "retry", letter["id"], "--json")
    listed = json.loads(run("dead-letters", "list", "--json").stdout)["items"]

    assert shown == letter
    assert again.returncode == 0
    assert shop.get(f"dead-letters/{letter['id']}")["state"] == "retried"
    assert letter["id"] not in [each["id"] for each in listed]
    [second] = _others_with(shop, reused, letter["id"])
    dropped = run("dead-letters", "drop", second["id"], "--reason", "yen are not taken", "--json")
    assert json.loads(dropped.stdout)["state"] == "dropped"


def _others_with(shop: Shop, value: bytes, not_this: str) -> list[Json]:
    """Sent again, the same message cannot be read again: it becomes a letter of its own."""

    def found() -> list[Json]:
        ids = [letter["id"] for letter in shop.get("dead-letters", limit=1_000)["items"]]
        letters = [shop.get(f"dead-letters/{id_}") for id_ in ids if id_ != not_this]
        return [letter for letter in letters if b64decode(letter["value"]) == value]

    eventually(found)
    return found()


def test_an_id_that_is_used_again_on_kafka_is_a_letter(shop: Shop, door: KafkaDoor) -> None:
    member, purchase = shop.name("m"), shop.name("b")
    shop.buy(purchase, member, 1_000)

    [sent] = door.send([(member.encode(), envelope(purchase, shop.purchase(member, 9_000)))])

    letter = letter_for(shop, sent)
    assert letter["code"] == "id-reused"
    shop.wait_for_points(member, 1)
    shop.client.post(f"/v1/dead-letters/{letter['id']}/drop", json={"reason": "a test"})


def test_a_letter_that_nobody_wrote_is_unknown(shop: Shop) -> None:
    answer = shop.client.get("/v1/dead-letters/00000000-0000-5000-8000-000000000000")

    assert problem(answer, 404) == "unknown-dead-letter"
