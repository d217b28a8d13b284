"""The local Kafka: one real broker and controller in one Java process, its data in the state folder."""

from __future__ import annotations

import base64
import fcntl
import os
import struct
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

from pipelines.errors import PrerequisiteError, StackError
from pipelines.io import kafka_admin
from pipelines.settings import Settings
from pipelines.stack import ports, processes, records
from pipelines.stack.jars import jars_folder
from pipelines.stack.machine import java_program
from pipelines.stack.part import Launch, Part
from pipelines.stack.processes import Running

NAME = "kafka"
ANY_TIME = 2**63 - 1  # ms; a replay gives messages the times of their events, whatever those are
LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1}: %m%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
# Lists every setting of the broker and of each internal client at every start.
logger.values.name = org.apache.kafka.common.config.AbstractConfig
logger.values.level = warn
"""


def folder(settings: Settings) -> Path:
    """Folder of the broker's configuration and data."""
    return settings.state / "kafka"


def properties(settings: Settings, port: int, controller_port: int) -> dict[str, str]:
    """The broker's configuration: a single node that keeps every message for ever, on this machine only."""
    size = str(settings.kafka.max_message_bytes)
    single = {
        f"{topic}.{key}": "1"
        for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
        for key in ("replication.factor", "num.partitions")
    }
    return single | {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{ports.HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{ports.HOST}:{port},CONTROLLER://{ports.HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{ports.HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(_data(settings)),
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "auto.create.topics.enable": "false",
        "log.retention.ms": "-1",
        "log.message.timestamp.type": "CreateTime",
        "log.message.timestamp.before.max.ms": str(ANY_TIME),
        "log.message.timestamp.after.max.ms": str(ANY_TIME),
        "message.max.bytes": size,
        "replica.fetch.max.bytes": size,
        "log.cleaner.dedupe.buffer.size": str(16 << 20),
        "group.initial.rebalance.delay.ms": "0",
        "num.network.threads": "2",
        "num.io.threads": "4",
        # After a crash the controller waits so long for the broker that it knew before it takes the new one.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
    }


def prepare(settings: Settings, _domain: str = "") -> Launch:
    """Everything that the broker needs, its data folder formatted on the first start.

    Raises PrerequisiteError without Java or jars, StackError for a configured port in use and for data that
    belong to another cluster than the lake of this state folder.
    """
    java, classpath = java_program(os.environ), _classpath(settings)
    _check_data(settings)
    port = ports.port_for(settings, NAME, settings.kafka.port, "kafka.port")
    controller = ports.port_for(
        settings, "kafka controller", settings.kafka.controller_port, "kafka.controller_port"
    )
    home = folder(settings)
    home.mkdir(parents=True, exist_ok=True)
    lines = [f"{key}={value}" for key, value in properties(settings, port, controller).items()]
    (home / "server.properties").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (home / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
    run = [java, f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}", "-cp", classpath]
    if not _cluster_of(_data(settings)):
        _format(settings, run)
    memory = [f"-Xmx{settings.kafka.heap_mb}m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
    command = [run[0], *memory, *run[1:], "kafka.Kafka", str(home / "server.properties")]
    return Launch(command, os.environ, f"{ports.HOST}:{port}")


def answers(settings: Settings, running: Running, timeout_s: float) -> bool:
    """Whether the broker lists its cluster within that time."""
    port = int(running.address.rpartition(":")[2])
    return ports.accepts(port) and kafka_admin.answers(settings, timeout_s)


def complete(settings: Settings) -> None:
    """Create the topics of the walk, on whatever broker the settings lead to.

    Raises StackError for a topic with another number of partitions, and for a broker of another cluster than
    the one whose messages this state folder has counted so far.
    """
    found, known = kafka_admin.cluster_id(settings), _known_cluster(settings)
    if known not in ("", found):
        raise StackError(
            f"the broker at {settings.bootstrap} belongs to cluster {found}, but tables and checkpoints in "
            f"{settings.state} count the messages of cluster {known}: set kafka.bootstrap back, or give the "
            "other cluster a state folder of its own (paths.state)"
        )
    if not known:
        records.write(_cluster_file(settings), {"cluster_id": found})
    kafka_admin.create_topics(settings)


def _check_data(settings: Settings) -> None:
    """Raises StackError unless the data folder is the one that the lake knows, and nobody uses it."""
    known, found = _known_cluster(settings), _cluster_of(_data(settings))
    if known not in ("", found):
        state = f"belong to cluster {found}" if found else "are gone"
        raise StackError(
            f"the broker's data in {_data(settings)} {state}, but the tables and checkpoints in "
            f"{settings.state} count the messages of cluster {known}: bring its data back, or delete "
            f"{settings.state} and begin anew"
        )
    if user := _user_of(_data(settings)):
        raise StackError(
            f"process {user} uses the broker's data in {_data(settings)}, and no pid file tells of it: two "
            f"brokers would damage them. Stop it (`kill {user}`), then `lakepulse up`"
        )


def new_cluster_id(draw: Callable[[], bytes]) -> str:
    """A cluster's id as Kafka writes one, from `draw`n 16 bytes. None begins with a dash: Kafka's tools would
    take it for an option."""
    while (drawn := base64.urlsafe_b64encode(draw()).decode().rstrip("=")).startswith("-"):
        pass
    return drawn


def _format(settings: Settings, run: list[str]) -> None:
    cluster_id = new_cluster_id(lambda: uuid.uuid4().bytes)
    log = processes.log_file(settings, "kafka_format")
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [run[0], "-Xmx128m", "-XX:TieredStopAtLevel=1", *run[1:], "kafka.tools.StorageTool", "format"]
    command += ["--cluster-id", cluster_id, "--config", str(folder(settings) / "server.properties")]
    with log.open("wb") as out:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        raise StackError(
            f"the broker's data folder {_data(settings)} cannot be prepared; {log} ends with\n"
            f"{processes.last_lines(log)}"
        )


def _data(settings: Settings) -> Path:
    return folder(settings) / "data"


def _cluster_file(settings: Settings) -> Path:
    return records.run_folder(settings) / "kafka_cluster.json"


def _known_cluster(settings: Settings) -> str:
    """Cluster id of the broker that this state folder began with, empty before it has begun."""
    return str(records.read(_cluster_file(settings)).get("cluster_id", ""))


def _cluster_of(data: Path) -> str:
    """Cluster id of a data folder, empty for one that is not formatted."""
    path = data / "meta.properties"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return dict(line.partition("=")[::2] for line in lines).get("cluster.id", "")


def _user_of(data: Path) -> int:
    """Pid of the broker that holds the data folder, 0 for none."""
    lock = data / ".lock"
    if not lock.is_file():
        return 0
    asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    with lock.open("rb") as file:
        kind, *_, pid = struct.unpack("hhqqi", fcntl.fcntl(file, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else int(pid)


def _classpath(settings: Settings) -> str:
    jars = jars_folder(settings.root) / NAME
    if not any(jars.glob("kafka_*.jar")):
        raise PrerequisiteError(f"no Kafka in {jars}: run `make setup`")
    return f"{jars}/*"


KAFKA = Part(
    name=NAME,
    prepare=prepare,
    answers=answers,
    complete=complete,
    configured=lambda settings: settings.kafka.bootstrap,
    patience_s=120,
    grace_s=lambda settings: 4,
)
