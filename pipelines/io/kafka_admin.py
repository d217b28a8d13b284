"""Kafka without Spark: the connection, the topics, how far they reach, and whether the broker answers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from pipelines.errors import StackError
from pipelines.settings import Settings

TIMEOUT_S = 15.0
POLL_S = 0.05
# librdkafka writes every refused connection to stderr; what matters of it comes back as an error.
QUIET: dict[str, str | int | float | bool] = {"log_level": 2}


@dataclass(frozen=True)
class Topic:
    """A topic of the walk: its name, its partitions, and what it has beside the broker's defaults."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


def topics(settings: Settings) -> tuple[Topic, ...]:
    """The topics that the walk needs, with the partitions that the settings name."""
    kafka = settings.kafka
    return (
        Topic("interactions", kafka.partitions),
        Topic("catalog", kafka.catalog_partitions, {"cleanup.policy": "compact"}),
        Topic("decision_features", kafka.decision_features_partitions),
        Topic("alerts", kafka.alerts_partitions),
        Topic("dead_letters", kafka.dead_letters_partitions),
    )


def client_options(settings: Settings) -> dict[str, str | int | float | bool]:
    """The connection in librdkafka's spelling, for producers, consumers and administration outside Spark.

    The SASL login, if any, is taken from LAKEPULSE_KAFKA_USER and LAKEPULSE_KAFKA_PASSWORD.
    """
    options: dict[str, str | int | float | bool] = {
        "bootstrap.servers": settings.bootstrap,
        "security.protocol": settings.kafka.security_protocol,
    }
    if settings.kafka.security_protocol.startswith("SASL"):
        options["sasl.mechanism"] = os.environ.get("LAKEPULSE_KAFKA_SASL_MECHANISM", "PLAIN")
        options["sasl.username"] = os.environ["LAKEPULSE_KAFKA_USER"]
        options["sasl.password"] = os.environ["LAKEPULSE_KAFKA_PASSWORD"]
    return options


def answers(settings: Settings, timeout_s: float = 2.0) -> bool:
    """Whether a broker lists its cluster within that time."""
    try:
        return bool(_client(settings).list_topics(timeout=timeout_s).brokers)
    except KafkaException:
        return False


def cluster_id(settings: Settings) -> str:
    """The id of the cluster that answers. Raises StackError when none does."""
    try:
        return str(_client(settings).list_topics(timeout=TIMEOUT_S).cluster_id)
    except KafkaException as problem:
        raise _silent(settings, problem) from problem


def partitions(settings: Settings, topic: str) -> list[int]:
    """The topic's partitions. Raises StackError when the broker does not answer or lacks the topic."""
    found = _present(settings).get(topic)
    if not found:
        raise StackError(f"Kafka at {settings.bootstrap} has no topic {topic}: `lakepulse up` creates it")
    return found


def create_topics(settings: Settings, wanted: tuple[Topic, ...] | None = None) -> list[str]:
    """Create the topics that the broker lacks, by default those of the walk, and give their names.

    Raises StackError for a topic that is there with another number of partitions: a topic that grows moves
    users to other partitions, and their events lose their order.
    """
    wanted = topics(settings) if wanted is None else wanted
    present = _present(settings)
    for topic in wanted:
        there = len(present.get(topic.name, ()))
        if there not in (0, topic.partitions):
            raise StackError(
                f"topic {topic.name} at {settings.bootstrap} has {there} partitions, the settings say "
                f"{topic.partitions}: set them to {there} (conf/base.yml, section kafka), or begin with an "
                "empty state folder; a topic in use keeps its partitions, or users' events lose their order"
            )
    missing = [topic for topic in wanted if topic.name not in present]
    if missing:
        # Replication -1 leaves it to the broker: 1 in the local stack, the cluster's own default elsewhere.
        new = [NewTopic(t.name, t.partitions, replication_factor=-1, config=dict(t.config)) for t in missing]
        client = _client(settings)
        for name, done in client.create_topics(new, operation_timeout=TIMEOUT_S).items():
            try:
                done.result()
            except KafkaException as problem:
                if problem.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise StackError(f"Kafka refuses to create topic {name}: {problem}") from problem
        _await_topics(settings, lambda known: all(topic.name in known for topic in missing))
    return [topic.name for topic in missing]


def delete_topics(settings: Settings, names: list[str]) -> None:
    """Delete topics with all their messages. Raises StackError when the broker refuses."""
    client = _client(settings)
    for name, done in client.delete_topics(names, operation_timeout=TIMEOUT_S).items():
        try:
            done.result()
        except KafkaException as problem:
            raise StackError(f"Kafka refuses to delete topic {name}: {problem}") from problem
    _await_topics(settings, lambda known: not any(name in known for name in names))


def end_offsets(settings: Settings, topic: str) -> dict[int, int]:
    """For each partition the offset that its next message gets. Raises StackError as `partitions` does."""
    return _offsets(settings, topic, OffsetSpec.latest())  # type: ignore[no-untyped-call]


def first_offsets(settings: Settings, topic: str) -> dict[int, int]:
    """For each partition the offset of the oldest message that is kept. Raises StackError as `partitions`
    does."""
    return _offsets(settings, topic, OffsetSpec.earliest())  # type: ignore[no-untyped-call]


def _offsets(settings: Settings, topic: str, which: OffsetSpec) -> dict[int, int]:
    asked = {TopicPartition(topic, p): which for p in partitions(settings, topic)}
    client = _client(settings)
    found = client.list_offsets(asked, request_timeout=TIMEOUT_S)
    try:
        return {at.partition: done.result().offset for at, done in found.items()}
    except KafkaException as problem:
        raise _silent(settings, problem) from problem


def lag(settings: Settings, topic: str, next_offsets: Mapping[int, int]) -> dict[int, int]:
    """For each partition the offsets between a reader's next one (0 where it has none) and the end."""
    return {p: end - next_offsets.get(p, 0) for p, end in end_offsets(settings, topic).items()}


def _client(settings: Settings) -> AdminClient:
    """A client, to be kept until its answers are in: they are lost with it."""
    return AdminClient({**client_options(settings), **QUIET})


def _present(settings: Settings) -> dict[str, list[int]]:
    """Partitions of every topic that the broker has."""
    try:
        # All topics: asking a foreign broker for one that is missing could create it there.
        found = _client(settings).list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as problem:
        raise _silent(settings, problem) from problem
    return {name: sorted(metadata.partitions) for name, metadata in found.items() if metadata.error is None}


def _await_topics(settings: Settings, condition: Callable[[dict[str, list[int]]], bool]) -> None:
    """Wait until every client can see what the broker was told to do."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition(_present(settings)):
        if time.monotonic() > deadline:
            raise StackError(
                f"Kafka at {settings.bootstrap} took the change of its topics and does not show it"
            )
        time.sleep(POLL_S)


def _silent(settings: Settings, problem: KafkaException) -> StackError:
    return StackError(
        f"Kafka at {settings.bootstrap} does not answer: {problem}; is it up (`lakepulse status`)?"
    )
