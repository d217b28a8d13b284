"""The local broker: what it keeps, what it refuses, and that a crash costs nothing."""

import dataclasses
import socket
import uuid
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_CREATE_TIME,
    Consumer,
    Message,
    Producer,
    TopicPartition,
)

from pipelines.errors import PrerequisiteError, StackError
from pipelines.io import kafka_admin
from pipelines.settings import load
from pipelines.stack import kafka, local, processes, records
from tests.fixtures_stack import Broker, silent, stack_settings

LONG_AGO = 978_307_200_000  # 1 January 2001, in ms
FAR_AWAY = 4_102_444_800_000  # 1 January 2100


def test_no_cluster_id_looks_like_an_option():
    drawn = iter([b"\xf8" + bytes(15), b"\xfb" + bytes(15), b"\xfc" + bytes(15)])
    assert kafka.new_cluster_id(lambda: next(drawn)) == "_" + "A" * 21


def send(broker: Broker, topic: str, value: bytes, timestamp: int = 0) -> None:
    """Send one message; any refusal is raised."""
    errors: list[object] = []
    producer = Producer({"bootstrap.servers": broker.bootstrap, "message.max.bytes": 11_000_000})
    producer.produce(
        topic, value, b"key", timestamp=timestamp, on_delivery=lambda error, _: errors.append(error)
    )
    assert producer.flush(20) == 0
    assert errors == [None]


def messages(broker: Broker, topic: str, count: int) -> list[Message]:
    """The first messages of the topic's partition 0."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    try:
        return consumer.consume(count, timeout=20)
    finally:
        consumer.close()


@pytest.fixture
def topic(kafka_broker: Broker) -> str:
    """An empty topic of one partition."""
    return kafka_broker.create_topic(f"topic-{uuid.uuid4().hex}")


def test_a_message_comes_back_with_its_key_and_the_time_of_its_event(
    kafka_broker: Broker, topic: str
) -> None:
    for time in (LONG_AGO, FAR_AWAY):
        send(kafka_broker, topic, b"value", time)
    found = messages(kafka_broker, topic, 2)
    assert [(m.key(), m.value(), m.offset()) for m in found] == [(b"key", b"value", 0), (b"key", b"value", 1)]
    assert [m.timestamp() for m in found] == [(TIMESTAMP_CREATE_TIME, t) for t in (LONG_AGO, FAR_AWAY)]


def test_a_message_of_ten_megabytes_passes(kafka_broker: Broker, topic: str) -> None:
    send(kafka_broker, topic, b"x" * 10_000_000)
    (found,) = messages(kafka_broker, topic, 1)
    assert len(found.value() or b"") == 10_000_000


def test_topics_have_the_partitions_of_the_settings(kafka_broker: Broker) -> None:
    settings = kafka_broker.settings
    assert kafka_admin.partitions(settings, "interactions") == list(range(settings.kafka.partitions))
    for wanted in kafka_admin.topics(settings):
        assert len(kafka_admin.partitions(settings, wanted.name)) == wanted.partitions


def test_a_topic_of_other_partitions_is_refused_and_left_alone(kafka_broker: Broker, topic: str) -> None:
    with pytest.raises(
        StackError, match=f"topic {topic} .* has 1 partitions, the settings say 3: set them to 1"
    ):
        kafka_admin.create_topics(kafka_broker.settings, (kafka_admin.Topic(topic, 3),))
    assert kafka_admin.partitions(kafka_broker.settings, topic) == [0]


def test_a_missing_topic_is_named_and_not_created(kafka_broker: Broker) -> None:
    for _ in range(2):
        with pytest.raises(StackError, match=r"has no topic nowhere: `lakepulse up` creates it"):
            kafka_admin.partitions(kafka_broker.settings, "nowhere")


def test_lag_is_what_a_reader_has_not_seen(kafka_broker: Broker, topic: str) -> None:
    for _ in range(3):
        send(kafka_broker, topic, b"value")
    assert kafka_admin.end_offsets(kafka_broker.settings, topic) == {0: 3}
    assert kafka_admin.lag(kafka_broker.settings, topic, {0: 1}) == {0: 2}
    assert kafka_admin.lag(kafka_broker.settings, topic, {}) == {0: 3}


def test_a_server_that_says_nothing_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        settings = load(environ={}, overrides={"kafka": {"bootstrap": address}})
        assert not kafka_admin.answers(settings, 0.5)


def test_a_killed_broker_comes_back_at_its_address_with_its_messages(
    kafka_broker: Broker, topic: str
) -> None:
    address, values = kafka_broker.bootstrap, [b"%d" % number for number in range(20)]
    for value in values:
        send(kafka_broker, topic, value)
    kafka_broker.kill()
    assert not kafka_admin.answers(kafka_broker.settings, 0.5)
    kafka_broker.start()
    assert kafka_broker.bootstrap == address
    assert [message.value() for message in messages(kafka_broker, topic, 20)] == values


def test_data_of_another_cluster_are_refused_with_a_remedy(tmp_path: Path) -> None:
    settings = stack_settings(tmp_path)
    data = kafka.folder(settings) / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("#\nversion=1\ncluster.id=theirs\nnode.id=1\n")
    records.write(records.run_folder(settings) / "kafka_cluster.json", {"cluster_id": "ours"})
    problem = (
        "belong to cluster theirs, but .* count the messages of cluster ours: bring its data back, or delete"
    )
    with pytest.raises(StackError, match=problem):
        Broker(settings).start()


def test_lost_data_are_not_replaced_in_silence(tmp_path: Path) -> None:
    settings = stack_settings(tmp_path)
    records.write(records.run_folder(settings) / "kafka_cluster.json", {"cluster_id": "ours"})
    with pytest.raises(StackError, match=r"the broker's data in .* are gone"):
        Broker(settings).start()


def test_a_port_in_use_is_named_with_its_owner_and_the_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        problem = (
            rf"port {port} of kafka is in use by \S+ \(pid \d+\): .*kafka\.port.*LAKEPULSE__KAFKA__PORT=0"
        )
        with pytest.raises(StackError, match=problem):
            Broker(stack_settings(tmp_path, port=port)).start()


def test_without_java_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrerequisiteError, match="no Java found; LakePulse needs a runtime of version 17"):
        kafka.prepare(stack_settings(tmp_path))


def test_without_jars_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match=r"no Kafka in .*: run `make setup`"):
        kafka.prepare(dataclasses.replace(stack_settings(tmp_path), root=tmp_path))


def test_a_configured_broker_is_used_and_remembered(kafka_broker: Broker, tmp_path: Path) -> None:
    overrides = {"paths": {"state": str(tmp_path)}, "kafka": {"bootstrap": kafka_broker.bootstrap}}
    settings = load(environ={}, overrides=overrides)
    told: list[tuple[str, str]] = []
    for _ in range(2):
        local.up(settings, "shop", ["kafka"], lambda part, text, keep: told.append((part, text)))
    assert told == [("kafka", f"elsewhere, at {kafka_broker.bootstrap}")] * 2
    assert local.status(settings)[0].state == "elsewhere"

    records.write(records.run_folder(settings) / "kafka_cluster.json", {"cluster_id": "earlier"})
    with pytest.raises(StackError, match=r"belongs to cluster .*, but .* of cluster earlier: set kafka"):
        local.up(settings, "shop", ["kafka"], silent)


def test_data_in_use_are_left_to_their_user(kafka_broker: Broker) -> None:
    settings = kafka_broker.settings
    running = processes.recorded(settings, "kafka")
    assert running is not None
    processes.forget(settings, "kafka")
    try:
        with pytest.raises(
            StackError, match=f"process {running.pid} uses the broker's data in .*kill {running.pid}"
        ):
            kafka_broker.start()
    finally:
        records.write(processes.pid_file(settings, "kafka"), msgspec.structs.asdict(running))
    assert kafka_admin.answers(settings)
