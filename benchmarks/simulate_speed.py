"""How fast the simulated shop is made and sent, on one core, beside what encoding and sending alone cost.

`made` are records of the simulated shop as JSON bytes, at several densities. `encoded` are the same records,
ready as dictionaries, written by a JSON library: no simulation at all. `replayed` goes into a real broker, by
`lakepulse replay`'s own code; `sent` is the same producer without reading where a record belongs.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import harness
from benchmarks.load import broker
from pipelines import settings as settings_module
from pipelines.domain import load_domain
from pipelines.io.producer import Sender
from pipelines.io.replay import TOPICS, ArrivalClock, Pace, Replay
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records

SHOPS = {
    "made: 5 events/s, 2,000 users (the default)": ShopConfig(),
    "made: 0.3 events/s, 2,000 users (weeks)": ShopConfig(rate=0.3),
    "made: 5,000 events/s, 100,000 users, 20,000 items (load)": ShopConfig(
        rate=5_000.0, users=100_000, items=20_000, season_strength=0.0
    ),
}


def timed(work: Callable[[], int]) -> dict[str, Any]:
    """Records, wall seconds and CPU seconds (of all threads) of one run."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    count = work()
    return {"records": count, "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def made(config: ShopConfig, events: int) -> int:
    """Simulate, and throw the lines away."""
    return sum(len(chunk.lines) for chunk in records(config, events))


def encoded(dump: Callable[[Any], Any], ready: list[dict[str, Any]]) -> int:
    """Encode dictionaries that are there already."""
    return sum(1 for record in ready if dump(record))


def parsed(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue  # the malformed share cannot be encoded again


def replayed(settings: settings_module.Settings, lines: list[bytes]) -> int:
    """Send with keys and times, as `lakepulse replay` does."""
    sender = Sender(settings, TOPICS)
    Replay(sender, load_domain("shop", settings), ArrivalClock(0), Pace(0.0)).run(lines)
    return flushed(sender)


def sent(settings: settings_module.Settings, lines: list[bytes]) -> int:
    """Send bytes without looking at them."""
    sender = Sender(settings, TOPICS)
    for number, line in enumerate(lines):
        sender.send("interactions", line, b"%d" % (number % 1000), 1)
        if number % 1000 == 0:
            sender.poll()
    return flushed(sender)


def flushed(sender: Sender) -> int:
    sender.flush()
    if sender.failed:
        raise SystemExit(f"Kafka did not take {sender.failed} messages: {sender.first_failure}")
    return sum(sender.sent.values())


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000, help="records of each run (default: 300,000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each case (default: 3)")
    args = parser.parse_args()
    lines = [line for chunk in records(ShopConfig(), args.events) for line in chunk.lines]
    size = sum(map(len, lines)) / len(lines)
    ready = list(parsed(lines))
    cases = {name: functools.partial(made, config, args.events) for name, config in SHOPS.items()}
    cases["encoded: json.dumps"] = functools.partial(encoded, json.dumps, ready)
    cases["encoded: msgspec"] = functools.partial(encoded, msgspec.json.encode, ready)
    with tempfile.TemporaryDirectory(prefix="lakepulse-simulate-") as state, broker(Path(state)) as address:
        settings = settings_module.load(
            overrides={"paths": {"state": state}, "kafka": {"bootstrap": address}}
        )
        cases["replayed into Kafka"] = functools.partial(replayed, settings, lines)
        cases["sent into Kafka, unread"] = functools.partial(sent, settings, lines)
        runs = {name: functools.partial(timed, work) for name, work in cases.items()}
        found = harness.alternate(runs, args.rounds)
    columns = ["case", "records", "CPU s", "wall s", "records per CPU s", "records/s"]
    rows = []
    for name, results in found.items():
        count, cpu, wall = (harness.median(results, figure) for figure in ("records", "cpu_s", "wall_s"))
        rows.append([name, float(count), cpu, wall, count / cpu, count / wall])
    title = (
        f"Simulated shop: records of {size:.0f} bytes, {args.rounds} rounds, medians, {os.cpu_count()} cores"
    )
    harness.publish("simulate_speed", title, columns, rows, runs=found)


if __name__ == "__main__":
    main()
