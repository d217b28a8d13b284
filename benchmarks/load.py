"""A broker of its own for each benchmark, and events of the simulated shop in it."""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import Producer

from pipelines import settings as settings_module
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records
from pipelines.stack import local

LONGEST = 100_000  # bytes; one value of megabytes would say more about itself than about the stream
USER = re.compile(rb'"user_id":"([^"]*)"')


def interactions(seed: int = 1) -> Iterator[bytes]:
    """Searches, views, clicks, carts and purchases of the simulated shop as JSON, without end: no lists, no
    catalog, and the usual share of doubled and malformed ones."""
    for chunk in records(ShopConfig(seed=seed)):
        for line in chunk.lines:
            is_behaviour = b'"event_type":"decision"' not in line and b'"record":"item"' not in line
            if is_behaviour and len(line) <= LONGEST:
                yield line


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[str]:
    """A real broker with the topics of the walk, its data in `folder`; its address."""
    settings = settings_module.load(overrides={"paths": {"state": str(folder)}})
    local.up(settings, "shop", ["kafka"], lambda *_: None)
    try:
        yield settings.bootstrap
    finally:
        local.down(settings, lambda *_: None)


def producer(bootstrap: str) -> Producer:
    """A producer for load."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 5,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
        }
    )


def _send(to: Producer, line: bytes) -> None:
    user = USER.search(line)
    while True:
        try:
            return to.produce("interactions", key=user.group(1) if user else None, value=line)
        except BufferError:
            to.poll(0.1)


def fill(bootstrap: str, events: int) -> float:
    """Put events into `interactions`; returns their mean size in bytes."""
    to, size = producer(bootstrap), 0
    for number, line in enumerate(itertools.islice(interactions(), events)):
        _send(to, line)
        size += len(line)
        if number % 1000 == 0:
            to.poll(0)
    if to.flush(120):
        raise SystemExit("Kafka did not take all events within 120 s")
    return size / events


def produce_steadily(bootstrap: str, rate: int, seconds: float, since_ms: float = 0) -> int:
    """Send events at a rate, in small bursts every 10 ms; returns how many were sent at or after
    `since_ms`."""
    to, source = producer(bootstrap), interactions(seed=int(time.time()))
    start, sent, counted = time.time(), 0, 0
    while (elapsed := time.time() - start) < seconds:
        due = int(elapsed * rate)
        if time.time() * 1000 >= since_ms:
            counted += due - sent
        for line in itertools.islice(source, due - sent):
            _send(to, line)
        sent = due
        to.poll(0)
        time.sleep(0.01)
    if to.flush(30):
        raise SystemExit("Kafka did not take all events within 30 s")
    return counted
