"""The servers that the other tests stand on: real, apart from one another, and crash-safe."""

import hashlib
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from tests.support.eventually import eventually
from tests.support.kafka_jars import Jar
from tests.support.kafka_server import Kafka
from tests.support.stack import running_kafka, running_postgres

ROOT = Path(__file__).parents[2]


def bootstrap(kafka: Kafka) -> str:
    return kafka.url.removeprefix("kafka://")


def test_runs_the_promised_postgresql_durably(fresh_postgres: str) -> None:
    with psycopg.connect(fresh_postgres) as connection:
        row = connection.execute(
            "SELECT current_setting('server_version'), current_setting('fsync')"
        ).fetchone()

    assert row is not None
    assert row[0].startswith("18.")
    assert row[1] == "on"


@pytest.mark.postgres
def test_a_killed_postgresql_comes_back_with_what_was_committed() -> None:
    with running_postgres() as postgres:
        url = postgres.fresh_database()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept (fact TEXT)")
            connection.execute("INSERT INTO kept VALUES ('committed')")

        postgres.kill()
        postgres.start()

        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT fact FROM kept").fetchall() == [("committed",)]


@pytest.mark.kafka
def test_a_killed_kafka_comes_back_with_what_was_acknowledged() -> None:
    with running_kafka() as kafka:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap(kafka))
        admin.create_topics([NewTopic("kept", 1, 1)])
        admin.close()
        producer = KafkaProducer(bootstrap_servers=bootstrap(kafka), acks="all")
        producer.send("kept", b"acknowledged", partition=0).get(timeout=30)
        producer.close()

        kafka.kill()
        kafka.start()

        consumer = KafkaConsumer(bootstrap_servers=bootstrap(kafka), consumer_timeout_ms=30_000)
        consumer.assign([TopicPartition("kept", 0)])
        consumer.seek(TopicPartition("kept", 0), 0)
        assert next(consumer).value == b"acknowledged"
        consumer.close()


@pytest.mark.postgres
def test_leaves_nothing_when_its_user_is_killed() -> None:
    program = (
        "import signal; from tests.support.stack import running_postgres\n"
        "with running_postgres() as postgres:\n"
        "    print(postgres.pid, postgres.folder, flush=True); signal.pause()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout is not None
        pid, folder = user.stdout.readline().split(maxsplit=1)
        server = psutil.Process(int(pid))

        user.kill()

        server.wait(timeout=30)
        eventually(lambda: not Path(folder.strip()).exists())


def test_a_jar_that_is_not_the_locked_one_is_not_used(tmp_path: Path) -> None:
    jar = Jar("group:artifact:1", hashlib.sha512(b"locked").hexdigest())

    (tmp_path / "artifact-1.jar").write_bytes(b"locked")
    assert jar.is_in(tmp_path)

    (tmp_path / "artifact-1.jar").write_bytes(b"locked?")
    assert not jar.is_in(tmp_path)
