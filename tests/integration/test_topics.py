"""Are the topics of a real Kafka what asyncapi.yaml says of them?"""

from typing import Any

import pytest
import yaml
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from services.runtime.contracts import CONTRACTS_DIR
from services.runtime.stream import TOPICS, open_stream

SAID: dict[str, Any] = yaml.safe_load((CONTRACTS_DIR / "asyncapi.yaml").read_text("utf-8"))


@pytest.mark.parametrize("topic", TOPICS)
def test_topic_is_made_as_asyncapi_says(kafka_url: str, topic: str) -> None:
    said = SAID["channels"][topic]["bindings"]["kafka"]
    stream = open_stream(f"{kafka_url}?prefix=as-said-")
    stream.ensure_topics()

    made = configuration(kafka_url, f"as-said-{topic}")

    assert stream.partition_count(topic) == said["partitions"]
    stream.close()
    assert {name: made[name] for name in said["topicConfiguration"]} == {
        name: ",".join(value) if isinstance(value, list) else str(value)
        for name, value in said["topicConfiguration"].items()
    }


def configuration(kafka_url: str, topic: str) -> dict[str, str]:
    """What Kafka itself says of a topic."""
    admin = KafkaAdminClient(bootstrap_servers=kafka_url.removeprefix("kafka://"))
    try:
        found = admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all"
        )
    finally:
        admin.close()
    return {name: entry["value"] for name, entry in found["topic"][topic].items()}
