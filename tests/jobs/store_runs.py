"""The stream of the online store in processes of its own, which may be killed; and what its store must
hold."""

import contextlib
import os
import sys
import time

import pyarrow as pa
from confluent_kafka import Consumer, TopicPartition

from pipelines import settings as settings_module
from pipelines.contracts.bronze import LANDED
from pipelines.contracts.types import arrow_schema
from pipelines.domain import load_domain
from pipelines.features.definitions import compile_definitions
from pipelines.features.online import Updater
from pipelines.io import kafka_admin
from pipelines.io.folding import TOPICS
from pipelines.io.lmdb_store import LmdbStore
from pipelines.io.online_store import KINDS, open_store, states_version
from pipelines.io.producer import Sender
from pipelines.io.replay import Addresses, ArrivalClock, Pace, Replay
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records
from tests import apart

TROUBLE = {"late_share": 0.05, "duplicate_share": 0.02, "malformed_share": 0.01}


class Installation:
    """A state folder with settings of its own, on the suite's broker."""

    def __init__(self, state, bootstrap):
        self.environment = os.environ | {
            "LAKEPULSE__PATHS__STATE": str(state),
            "LAKEPULSE__KAFKA__BOOTSTRAP": bootstrap,
            "LAKEPULSE__SPARK__DRIVER_MEMORY": "1g",
        }
        ours = {k: v for k, v in self.environment.items() if k.startswith("LAKEPULSE__")}
        self.settings = settings_module.load(environ=ours)
        self.domain = load_domain("shop", self.settings)
        self.definitions = compile_definitions(self.domain)
        self.processes = []

    def send(self, lines):
        """Send records with the times at which they once arrived; items before what happens to them, as a
        shop publishes them."""
        addresses, sender = Addresses(self.domain), Sender(self.settings, TOPICS)
        for topic in TOPICS:
            chosen = [line for line in lines if addresses.of(line).topic == topic]
            Replay(sender, self.domain, ArrivalClock(300_000), Pace(0)).run(chosen)
            sender.flush()
        assert sender.failed == 0, sender.first_failure

    def command(self, *more):
        return [sys.executable, "-m", "jobs.update_online_store", *more]

    def start(self, **environment):
        """The stream in a process of its own, with these variables on top."""
        with (self.settings.state / "update.log").open("a") as log:
            process = apart.start(self.command(), self.environment | environment, log)
        self.processes.append(process)
        return process

    def finish(self):
        """Let the stream do what there is, to its end."""
        apart.run_to_end(self.command("--once"), self.environment)

    def folded(self):
        """How many messages the store has folded; 0 without one."""
        if not (self.settings.store_path / "current").is_symlink():
            return 0
        with open_store(self.settings, self.definitions) as store:
            return sum(store.fences().values())

    def wait_for(self, more_than, process):
        """Return when the store has folded more than that."""
        deadline = time.monotonic() + 120
        while self.folded() <= more_than:
            assert process.poll() is None, (self.settings.state / "update.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "the store does not move"
            time.sleep(0.02)

    def held(self):
        """All that the store holds, and its fences."""
        with open_store(self.settings, self.definitions) as store:
            return contents(store)

    def clean_run(self, folder):
        """What a store holds after one fold of all that Kafka holds."""
        updater = Updater(self.domain, self.definitions, self.settings.silver, self.settings.store)
        version = states_version(self.definitions)
        with LmdbStore(folder, version, readonly=False, definitions=self.definitions) as store:
            for topic in TOPICS:
                updater.fold(messages(self.settings, topic), store)
            return contents(store)


@contextlib.contextmanager
def installed(state, broker):
    """An installation on the broker, whose topics are empty; its processes do not outlive the block."""
    broker.empty_topics()
    made = Installation(state, broker.bootstrap)
    try:
        yield made
    finally:
        for process in made.processes:
            if process.poll() is None:
                apart.kill(process)


def contents(store):
    """Records but for the catalog, whose chunks depend on batches; versions of items; and fences."""
    states = {key: record for kind in KINDS if kind != b"c" for key, record in store.scan(kind)}
    return states, store.fences()


def messages(settings, topic):
    """All that a topic holds, as it is folded."""
    ends = kafka_admin.end_offsets(settings, topic)
    reader = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": "reading-back"})
    reader.assign([TopicPartition(topic, partition, 0) for partition in ends])
    found = []
    while len(found) < sum(ends.values()):
        found += [m for m in reader.consume(10_000, 1.0) if m.error() is None]
    reader.close()
    schema = arrow_schema(LANDED)
    columns = {
        "topic": [m.topic() for m in found],
        "partition": [m.partition() for m in found],
        "offset": [m.offset() for m in found],
        "value": [m.value() for m in found],
        "headers": [None] * len(found),
    }
    typed = {name: pa.array(values, schema.field(name).type) for name, values in columns.items()}
    arrived = pa.array([m.timestamp()[1] * 1000 for m in found], schema.field("timestamp").type)
    return pa.table(typed | {"arrived_at": arrived})


def lines(count, seed=6):
    """Records of a simulated shop, with late, doubled and malformed ones among them."""
    config = ShopConfig(seed=seed, rate=2.0, users=150, items=80, list_length=6, **TROUBLE)
    return [line for chunk in records(config, count) for line in chunk.lines]
