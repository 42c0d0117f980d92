"""Rubbish and spoilt commands on `intake`, among good ones: those are recorded, all of them."""

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest

from tests.e2e.conftest import FULL
from tests.e2e.shop import Json, Shop
from tests.support.eventually import eventually
from tests.support.kafka_door import Sent, kafka_door

pytestmark = pytest.mark.parametrize("installation", [FULL], indirect=True)
GOOD, BAD = 60, 300
Spoil = Callable[[Json, Random], Any]


def without_a_field(event: Json, chance: Random) -> Json:
    del event[chance.choice(["specversion", "type", "source", "id", "data"])]
    return event


def without_a_field_of_data(event: Json, chance: Random) -> Json:
    del event["data"][chance.choice(["purchased_at", "currency", "lines"])]
    return event


def with_a_strange_value(event: Json, chance: Random) -> Json:
    strange: list[Any] = [
        None,
        [],
        {},
        True,
        -1,
        10**30,
        1e400,
        "",
        "\x00",
        "x" * 5_000,
        "ü@\u2028",
    ]
    event["data"][chance.choice(["purchased_at", "currency", "lines"])] = chance.choice(strange)
    return event


def with_a_strange_line(event: Json, chance: Random) -> Json:
    line = event["data"]["lines"][0]
    line[chance.choice(["quantity", "amount_minor"])] = chance.choice([-1, 0.5, 10**16, "1", None])
    return event


def with_a_strange_envelope(event: Json, chance: Random) -> Json:
    name = chance.choice(["specversion", "type", "source", "id", "data"])
    event[name] = chance.choice([None, 7, [], "a b", "/rewards", ""])
    return event


def with_an_unknown_field(event: Json, chance: Random) -> Json:
    event["data"][f"field{chance.randrange(9)}"] = 1
    return event


def nested_without_end(event: Json, chance: Random) -> bytes:
    depth = chance.randrange(100, 20_000)
    return json.dumps(event).replace("[", "[" * depth).replace("]", "]" * depth).encode()


def cut_off(event: Json, chance: Random) -> bytes:
    whole = json.dumps(event).encode()
    return whole[: chance.randrange(len(whole))]


def with_a_wrong_byte(event: Json, chance: Random) -> bytes:
    whole = json.dumps(event).encode()
    place = chance.randrange(len(whole))
    return whole[:place] + bytes([chance.choice([0, 0x80, 0xFF])]) + whole[place + 1 :]


def bytes_only(_: Json, chance: Random) -> bytes:
    return chance.randbytes(chance.randrange(300))


def nothing(_: Json, __: Random) -> None:
    return None


SPOILERS: list[Spoil] = [
    *(without_a_field, without_a_field_of_data, with_a_strange_value, with_a_strange_line),
    *(with_a_strange_envelope, with_an_unknown_field, nested_without_end, cut_off),
    *(with_a_wrong_byte, bytes_only, nothing),
]


def test_good_commands_are_recorded_and_bad_ones_set_aside(shop: Shop) -> None:
    assert shop.installation.kafka_url is not None
    chance = Random("intake")
    members = [shop.name(f"m{number}") for number in range(6)]
    good = {shop.name(f"good{number}"): members[number % 6] for number in range(GOOD)}
    messages = [encoded(event(shop, id_, member)) for id_, member in good.items()]
    keys = [member.encode() for member in good.values()]
    spoilt = [spoil(shop, number, chance) for number in range(BAD)]
    strange_keys = [chance.choice([*keys[:6], b"\xff", b""]) for _ in spoilt]
    mixed = list(zip(keys + strange_keys, messages + spoilt, strict=True))
    chance.shuffle(mixed)

    with kafka_door(shop.installation.kafka_url) as door:
        sent = door.send(mixed)

    for member in members:
        shop.wait_for_points(member, GOOD // 6)
    for id_ in good:
        assert shop.get(f"outcomes/purchase/{id_}")["outcome"] == "recorded"
    bad = {(each.partition, each.offset): each for each in sent if each.value not in messages}
    assert len(bad) == BAD
    letters = letters_about(shop, bad)
    for place, letter in letters.items():
        assert b64decode(letter["value"]) == (bad[place].value or b"")
        assert letter["code"]
        assert letter["detail"]
    assert shop.installation.verify()["ok"] is True
    drop(shop, letters)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_type", b"\xff\xfe"),
        ("ce_type", b""),
        ("ce_source", b"/rewards"),
        ("ce_id", b"a b"),
        ("ce_specversion", b"0.3"),
    ],
)
def test_a_strange_header_spoils_its_own_message_only(shop: Shop, name: str, value: bytes) -> None:
    assert shop.installation.kafka_url is not None
    member = shop.name("m")
    data = encoded(shop.purchase(member, 1_000))
    attributes = {"type": "stampbook.purchase", "source": "grocer", "specversion": "1.0"}
    headers = {f"ce_{key}": text.encode() for key, text in attributes.items()}

    with kafka_door(shop.installation.kafka_url) as door:
        [spoilt] = door.send([(member.encode(), data)], headers=[*{**headers, name: value}.items()])
        headers["ce_id"] = shop.name("b").encode()
        door.send([(member.encode(), data)], headers=[*headers.items()])

    shop.wait_for_points(member, 1)
    letters = letters_about(shop, {(spoilt.partition, spoilt.offset): spoilt})
    [letter] = letters.values()
    shown = {each["name"]: b64decode(each["value"]) for each in letter["headers"]}
    assert shown[name] == value
    drop(shop, letters)


def drop(shop: Shop, letters: Mapping[tuple[int, int], Json]) -> None:
    """Others on this installation want to see no letters but their own."""
    for letter in letters.values():
        shop.client.post(f"/v1/dead-letters/{letter['id']}/drop", json={"reason": "a test"})


def event(shop: Shop, id_: str, member: str) -> Json:
    attributes = {"specversion": "1.0", "type": "stampbook.purchase", "source": "grocer"}
    return {**attributes, "id": id_, "data": shop.purchase(member, 1_000)}


def encoded(value: Any) -> Any:
    return value if isinstance(value, bytes | None) else json.dumps(value).encode()


def spoil(shop: Shop, number: int, chance: Random) -> bytes | None:
    """A message that cannot be a command any more."""
    whole = event(shop, shop.name(f"bad{number}"), shop.name("nobody"))
    spoilt: bytes | None = encoded(SPOILERS[number % len(SPOILERS)](whole, chance))
    return spoilt


def letters_about(
    shop: Shop, places: Mapping[tuple[int, int], Sent]
) -> dict[tuple[int, int], Json]:
    """A letter about each of these messages, whole, once all are there."""
    ids: dict[tuple[int, int], str] = {}

    def are_all_there() -> bool:
        letters = shop.get("dead-letters", limit=1_000)["items"]
        ids.update({(letter["partition"], letter["offset"]): letter["id"] for letter in letters})
        return places.keys() <= ids.keys()

    eventually(are_all_there)
    return {place: shop.get(f"dead-letters/{ids[place]}") for place in places}
