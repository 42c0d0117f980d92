"""Does asyncapi.yaml agree with AsyncAPI, with the contracts beside it and with the code?"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from services.runtime.contracts import CONTRACTS_DIR
from services.runtime.stream import TOPICS
from tests.support.contracts import (
    COMMANDS,
    EXAMPLES,
    SCHEMAS,
    blamed,
    example,
    is_on_intake,
    on_intake,
    schema_name,
)

DOCUMENT: dict[str, Any] = yaml.safe_load((CONTRACTS_DIR / "asyncapi.yaml").read_text("utf-8"))
CHANNELS, OPERATIONS = DOCUMENT["channels"], DOCUMENT["operations"]
EVENTS = [name.removeprefix("events/") for name in SCHEMAS if name.startswith("events/")]


def at(reference: dict[str, str]) -> Any:
    """What a reference within the document leads to, however many steps away."""
    found: Any = DOCUMENT
    for step in reference["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return at(found) if "$ref" in found else found


def messages_of(channel: str) -> dict[str, Any]:
    return {name: at(message) for name, message in CHANNELS[channel]["messages"].items()}


def with_ids(schema: Any) -> Any:
    """A schema of the document, its paths to files turned into the ids of those files."""
    if isinstance(schema, list):
        return [with_ids(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: f"/contracts/{Path(part)}" if key == "$ref" else with_ids(part)
        for key, part in schema.items()
    }


@cache
def payload(channel: str, message: str) -> Any:
    return with_ids(messages_of(channel)[message]["payload"]["schema"])


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (part[key] for key in part if key == "$ref")
    for inner in part.values() if isinstance(part, dict) else part:
        if isinstance(inner, dict | list):
            yield from references(inner)


def test_keeps_to_asyncapi_3() -> None:
    path = Path(__file__).parent / "asyncapi-3.0.0" / "schema.json"

    errors = Draft7Validator(json.loads(path.read_bytes())).iter_errors(DOCUMENT)

    assert [(list(error.absolute_path), error.message) for error in errors] == []


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        if reference.startswith("#"):
            at({"$ref": reference})
        else:
            assert (CONTRACTS_DIR / reference).is_file(), reference


def test_names_the_topics_of_the_stream() -> None:
    assert {channel["address"] for channel in CHANNELS.values()} == set(TOPICS)
    assert list(CHANNELS) == [channel["address"] for channel in CHANNELS.values()]


def test_every_command_and_every_event_has_its_topic() -> None:
    assert sorted(messages_of("intake")) == sorted(COMMANDS)
    assert sorted([*messages_of("ledger"), *messages_of("rewards")]) == sorted(EVENTS)
    for channel in ("intake", "ledger", "rewards"):
        for name, message in messages_of(channel).items():
            assert message["name"] == f"stampbook.{name}"


@pytest.mark.parametrize("channel", ["ledger", "rewards"])
def test_events_lie_on_the_topic_of_their_source(channel: str) -> None:
    for name in messages_of(channel):
        source = SCHEMAS[f"events/{name}"]["properties"]["source"]
        assert source == {"const": f"/{channel}"}
        assert payload(channel, name) == {"$ref": f"/contracts/events/{name}.schema.json"}


@pytest.mark.parametrize("name", [name for name in EXAMPLES if is_on_intake(name)])
def test_commands_on_intake_are_what_their_message_says(name: str) -> None:
    message = schema_name(name).removeprefix("commands/")
    document = on_intake(name)

    assert blamed(payload("intake", message), document) == set()
    assert blamed(payload("intake", message), {**document, "type": "stampbook.wish"}) != set()
    assert blamed(payload("intake", message), {**document, "data": {"colour": 1}}) != set()


def test_headers_of_a_dead_letter_are_what_its_message_says() -> None:
    headers = messages_of("dead-letters")["dead-letter"]["headers"]

    assert blamed(with_ids(headers["schema"]), example("dead-letter")) == set()


@pytest.mark.parametrize("name", OPERATIONS)
def test_roles_do_what_they_have_a_right_to(name: str) -> None:
    operation = OPERATIONS[name]
    topic = operation["channel"]["$ref"].removeprefix("#/channels/")
    verb = {"send": "write", "receive": "read"}[operation["action"]]
    role = name.removesuffix(f".{verb}s-{topic}")

    assert role in CHANNELS[topic]["x-acl"][verb]
    for message in operation["messages"]:
        assert message["$ref"].startswith(f"#/channels/{topic}/messages/")


@pytest.mark.parametrize("topic", CHANNELS)
def test_every_message_is_written_by_somebody(topic: str) -> None:
    written = {
        message["$ref"].rpartition("/")[2]
        for operation in OPERATIONS.values()
        if operation["action"] == "send" and operation["channel"]["$ref"] == f"#/channels/{topic}"
        for message in operation["messages"]
    }

    assert written == set(CHANNELS[topic]["messages"])


def test_no_name_stands_twice_in_a_mapping() -> None:
    """YAML lets the last one count, in silence."""
    twice: list[str] = []

    def note(node: yaml.Node | None) -> None:
        if isinstance(node, yaml.MappingNode):
            names = [str(key.value) for key, _ in node.value]
            twice.extend(name for name in names if names.count(name) > 1)
        for child in node.value if isinstance(node, yaml.CollectionNode) else ():
            for each in child if isinstance(child, tuple) else (child,):
                note(each)

    text = (CONTRACTS_DIR / "asyncapi.yaml").read_text("utf-8")
    note(yaml.compose(text, Loader=yaml.SafeLoader))

    assert twice == []
