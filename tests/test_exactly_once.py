"""Kill the streams with SIGKILL in the middle of their writes and start them again: nothing is lost, nothing
is doubled."""

import json
import os
import sys
import time
from collections import Counter

import pytest
from confluent_kafka import Producer

from pipelines import settings as settings_module
from pipelines.io import lake
from tests import apart

EVENTS_A_ROUND = 3000
BAD_EVERY = 50  # every 50th message is not JSON
TWICE_EVERY = 40  # every 40th event is sent twice


class Shop:
    """Sends numbered events, some of them malformed or doubled, and remembers what it sent."""

    def __init__(self, bootstrap):
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5})
        self.sent, self.good, self.messages = 0, set(), 0

    def send(self, count):
        for number in range(self.sent, self.sent + count):
            user = f"u{number % 97}"
            event = {
                "event_id": f"e{number}",
                "event_time": int(time.time() * 1000),
                "event_type": "view",
                "user_id": user,
                "item_id": f"i{number % 31}",
                "source": "web",
            }
            is_bad = number % BAD_EVERY == 0
            value = b"{not json" if is_bad else json.dumps(event).encode()
            for _ in range(2 if number % TWICE_EVERY == 1 else 1):
                self.producer.produce("interactions", key=user, value=value)
                self.messages += 1
            if not is_bad:
                self.good.add(f"e{number}")
        self.sent += count
        assert self.producer.flush(30) == 0


class Streams:
    """The land and refine streams in a process of their own."""

    def __init__(self, settings, environment):
        self.settings, self.environment, self.process = settings, environment, None

    def command(self, *more):
        return [sys.executable, "-m", "jobs.run_streams", "--only", "land_bronze,refine_silver", *more]

    def start(self):
        self.log = (self.settings.state / "streams.log").open("a")
        self.process = apart.start(self.command(), self.environment, self.log)

    def kill(self):
        apart.kill(self.process)
        self.log.close()

    def finish(self):
        apart.run_to_end(self.command("--once"), self.environment)


def newest(folder, suffix=""):
    """Highest number among the files of a folder that are called `<number><suffix>`; -1 without one."""
    names = (p.name.removesuffix(suffix) for p in folder.glob(f"*{suffix}")) if folder.is_dir() else ()
    return max((int(n) for n in names if n.isdigit()), default=-1)


def unfinished(checkpoint):
    """Whether a micro-batch was planned and its end not yet noted."""
    return newest(checkpoint / "offsets") > newest(checkpoint / "commits")


def killed_at(point, streams, shop, state, silver_runs=True):
    """Run the streams, send events, kill at the first sight of `point`; whether it still held when everything
    was dead."""
    query, table = {
        "a batch of bronze was planned": ("land_bronze/interactions", None),
        "bronze was written and its checkpoint was not": ("land_bronze/interactions", "bronze/interactions"),
        "silver was written and its checkpoint was not": ("refine_silver", "silver/events"),
    }[point]
    checkpoint = find_checkpoint(state, query)
    log = state / "lake" / table / "_delta_log" if table else None
    streams.start()
    deadline = time.time() + 120
    version = newest(log, ".json") if log else -1
    planned = newest(checkpoint / "offsets")
    next_send = 0.0
    while time.time() < deadline:
        if time.time() > next_send:
            shop.send(EVENTS_A_ROUND)
            next_send = time.time() + 4
        if log is None and newest(checkpoint / "offsets") > planned and unfinished(checkpoint):
            break
        if log is not None and newest(log, ".json") > max(version, 0) and unfinished(checkpoint):
            break
        assert streams.process.poll() is None, (state / "streams.log").read_text()[-3000:]
    streams.kill()
    return unfinished(checkpoint) and (log is None or newest(log, ".json") > version)


def find_checkpoint(state, query):
    return state / "checkpoints" / query


@pytest.fixture
def running(tmp_path, kafka_broker):
    kafka_broker.empty_topics()
    environment = os.environ | {
        "LAKEPULSE__PATHS__STATE": str(tmp_path),
        "LAKEPULSE__KAFKA__BOOTSTRAP": kafka_broker.bootstrap,
        "LAKEPULSE__SPARK__DRIVER_MEMORY": "1g",
        "LAKEPULSE__STREAMS__SILVER_TRIGGER_MS": "500",
    }
    settings = settings_module.load(
        environ={k: v for k, v in environment.items() if k.startswith("LAKEPULSE__")}
    )
    streams = Streams(settings, environment)
    yield streams, Shop(kafka_broker.bootstrap), tmp_path
    if streams.process is not None and streams.process.poll() is None:
        streams.kill()


def test_nothing_is_lost_or_doubled_when_the_streams_are_killed_in_the_middle_of_a_write(
    running, kafka_broker
):
    streams, shop, state = running
    points = (
        "a batch of bronze was planned",
        "bronze was written and its checkpoint was not",
        "silver was written and its checkpoint was not",
    )
    hit = Counter()
    for point in points:
        for _ in range(3):  # a kill may come a moment too late: then once more
            hit[point] += killed_at(point, streams, shop, state)
            if hit[point]:
                break
    assert all(hit[point] for point in points), f"no kill hit the moment it was meant for: {hit}"
    streams.finish()

    bronze = lake.query(streams.settings, 'SELECT topic, partition, "offset" FROM bronze.interactions')
    assert len(bronze) == shop.messages
    assert not bronze.duplicated().any()
    per_partition = bronze.groupby("partition")["offset"].agg(["min", "max", "count"])
    assert (per_partition["min"] == 0).all()
    assert (per_partition["max"] + 1 == per_partition["count"]).all()

    events = lake.query(streams.settings, "SELECT event_id FROM silver.events")["event_id"]
    assert sorted(events) == sorted(shop.good)
    quarantined = lake.query(
        streams.settings, "SELECT partition, count(*) AS n FROM silver.quarantine GROUP BY ALL"
    )
    good = lake.query(streams.settings, "SELECT partition, count(*) AS n FROM silver.events GROUP BY ALL")
    consumed = per_partition["count"].to_dict()
    accounted = Counter(dict(zip(quarantined["partition"], quarantined["n"], strict=True)))
    accounted.update(dict(zip(good["partition"], good["n"], strict=True)))
    assert dict(accounted) == consumed
