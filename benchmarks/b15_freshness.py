"""B15: from an event's being produced to its being in the online store that a scorer reads, at 2,000 events a
second."""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import psutil

from benchmarks import harness
from benchmarks.load import USER, broker, interactions, producer
from pipelines import settings as settings_module
from pipelines.domain import load_domain
from pipelines.features.definitions import compile_definitions
from pipelines.io.online_store import OnlineStore, open_store

POLL_S = 0.002
SLICE_S = 0.01


class Seen:
    """Events on their way: when each was handed to the producer, and when the store's fence had passed it."""

    def __init__(self) -> None:
        self.waiting: dict[int, deque[tuple[int, float]]] = {}
        self.took: list[float] = []
        self.over = threading.Event()

    def sent(self, begin: float) -> Any:
        """What the producer calls when Kafka has acknowledged an event."""

        def delivered(problem: object, message: Any) -> None:
            assert problem is None, problem
            place = self.waiting.setdefault(message.partition(), deque())
            place.append((message.offset(), begin))

        return delivered

    def watch(self, store: OnlineStore) -> None:
        """Look at the fences as a scorer would, until all is over."""
        while not self.over.is_set():
            fences, now = store.fences(), time.monotonic()
            for partition, place in list(self.waiting.items()):
                fence = fences.get(("interactions", partition), 0)
                while place and place[0][0] < fence:
                    self.took.append(now - place.popleft()[1])
            time.sleep(POLL_S)


def send(seen: Seen, bootstrap: str, rate: int, seconds: float, first: int) -> None:
    """Produce at the rate, open loop."""
    sender, lines = producer(bootstrap), itertools.islice(interactions(), first, None)
    begin, number = time.monotonic(), 0
    while number < rate * seconds:
        now = time.monotonic()
        while number < (now - begin) * rate:
            line = next(lines)
            user = USER.search(line)
            sender.produce(
                "interactions", value=line, key=user and user[1], on_delivery=seen.sent(time.monotonic())
            )
            number += 1
        sender.poll(0)
        time.sleep(SLICE_S)
    sender.flush()


def main() -> None:
    """Warm up, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=2_000, help="events a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm", type=float, default=90.0, help="seconds before: the JVM compiles for long")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as bootstrap:
        overrides = {"paths": {"state": folder}, "kafka": {"bootstrap": bootstrap}}
        settings = settings_module.load(overrides=overrides)
        definitions = compile_definitions(load_domain("shop", settings))
        environment = os.environ | {
            "LAKEPULSE__PATHS__STATE": folder,
            "LAKEPULSE__KAFKA__BOOTSTRAP": bootstrap,
        }
        command = [sys.executable, "-m", "jobs.update_online_store"]
        log = Path(folder) / "log"
        with log.open("w") as out:
            job = subprocess.Popen(command, cwd=harness.ROOT, env=environment, stdout=out, stderr=out)
        try:
            while not (settings.store_path / "current").is_symlink():
                assert job.poll() is None, log.read_text()[-3000:]
                time.sleep(0.2)
            seen = Seen()
            with open_store(settings, definitions) as store:
                watcher = threading.Thread(target=seen.watch, args=(store,))
                watcher.start()
                send(seen, bootstrap, args.rate, args.warm, 0)
                while any(seen.waiting.values()):
                    time.sleep(0.1)
                seen.took.clear()
                cpu = cpu_of(job.pid)
                send(seen, bootstrap, args.rate, args.seconds, int(args.rate * args.warm))
                while any(seen.waiting.values()):
                    time.sleep(0.1)
                cpu = cpu_of(job.pid) - cpu
                seen.over.set()
                watcher.join()
                held = store.stats()
        finally:
            job.terminate()
            job.wait()
    took = sorted(seen.took)
    row: list[Any] = [f"{args.rate:,} events/s for {args.seconds:.0f} s", len(took)]
    row += [took[int(len(took) * share)] for share in (0.5, 0.99)] + [took[-1], cpu / args.seconds]
    columns = ["load", "events", "p50 s", "p99 s", "max s", "cores of the stream"]
    harness.publish(
        "b15_freshness",
        "B15: event produced -> in the store that is read",
        columns,
        [row],
        records=held.records,
    )


def cpu_of(pid: int) -> float:
    """CPU seconds so far of a process and all below it."""
    ours = psutil.Process(pid)
    return sum(p.cpu_times().user + p.cpu_times().system for p in [ours, *ours.children(recursive=True)])


if __name__ == "__main__":
    main()
