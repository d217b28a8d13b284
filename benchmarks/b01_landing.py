"""B1: JSON events of about 280 bytes in 4 partitions, Kafka to Delta: ours beside the textbook `from_json`
stream.

Compared are CPU seconds (all processes of the application) and wall time of warm streams: each contender has
landed other events in the same process before. `land` keeps
every byte with its coordinates; `land + refine` also parses, judges and deduplicates, which is more than the
textbook's `from_json` does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from confluent_kafka import Consumer

from benchmarks import harness
from benchmarks.load import broker, fill

CONTENDERS = {
    "textbook, 250 k a batch": "textbook",
    "textbook, no limit": "textbook_unlimited",
    "ours: land": "land",
    "ours: land + refine": "land_refine",
    "Kafka to nothing in Spark": "nothing",
}


def librdkafka(bootstrap: str, events: int) -> dict[str, float]:
    """A bare consumer in this process: the cost of fetching alone."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(["interactions"])
    wall, cpu, seen = time.perf_counter(), time.process_time(), 0
    while seen < events:
        seen += sum(1 for message in consumer.consume(10_000, timeout=1.0) if message.error() is None)
    figures = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "rows": seen}
    consumer.close()
    return figures


def contender(name: str, bootstrap: str, warm_up: str) -> dict[str, float]:
    """One run of a contender into an empty lake, warmed up on the events of another broker."""
    with tempfile.TemporaryDirectory(prefix="lakepulse-b01-") as state:
        env = {"LAKEPULSE__PATHS__STATE": state, "LAKEPULSE__KAFKA__BOOTSTRAP": bootstrap}
        return harness.case("benchmarks.b01_case", name, warm_up, env=env)


def main() -> None:
    """Fill a broker, run all contenders in turn, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000, help="events in Kafka (default: 2 M)")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each contender (default: 2)")
    parser.add_argument(
        "--warm-up", type=int, default=1_500_000, help="events before the measured ones (default: 1.5 M)"
    )
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="lakepulse-b01-kafka-") as folder,
        broker(Path(folder) / "measured") as bootstrap,
        broker(Path(folder) / "warm_up") as warm_up,
    ):
        size = fill(bootstrap, args.events)
        fill(warm_up, args.warm_up)
        cases = {
            title: (lambda n=name: contender(n, bootstrap, warm_up)) for title, name in CONTENDERS.items()
        }
        found = harness.alternate(
            cases | {"librdkafka, bare": lambda: librdkafka(bootstrap, args.events)}, args.rounds
        )
    for title, runs in found.items():
        if any(run["rows"] != args.events for run in runs):
            raise SystemExit(
                f"{title} did not deliver every event: {[run['rows'] for run in runs]} of {args.events}"
            )
    base = harness.median(found["textbook, 250 k a batch"], "cpu_s")
    rows = []
    for title, runs in found.items():
        cpu, wall = harness.median(runs, "cpu_s"), harness.median(runs, "wall_s")
        rows.append([title, cpu, cpu / args.events * 1e6, wall, args.events / wall, base / cpu])
    columns = ["contender", "CPU s", "CPU s per 1 M", "wall s", "events/s", "textbook CPU / this"]
    title = f"B1: {args.events:,} events of {size:.0f} bytes, Kafka to Delta, {args.rounds} rounds, medians"
    harness.publish("b01_landing", title, columns, rows, runs=found)


if __name__ == "__main__":
    main()
