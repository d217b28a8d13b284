"""B16: what a million users of the simulated shop take in the online store, with its records of users
compressed by zstd and as they lie now, and what packing and unpacking one costs.

Both stores are folded from the same messages; their records are compared first. `lakepulse store` prints the
same figure of a shop's own store.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks import harness
from pipelines import settings as settings_module
from pipelines.contracts.bronze import LANDED
from pipelines.contracts.types import arrow_schema
from pipelines.domain import load_domain
from pipelines.features.definitions import Definitions, compile_definitions
from pipelines.features.online import Updater
from pipelines.io.lmdb_store import LmdbStore
from pipelines.io.packing import Packer
from pipelines.io.replay import Addresses
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records

SETTINGS = settings_module.load(environ={})
SHOP = load_domain("shop", SETTINGS)
DEFINITIONS = compile_definitions(SHOP)
PARTITIONS, ITEMS, LIST = 4, 2_000, 10
PER_CUSTOMER, HOURS = 2.2, 6.0  # records of the simulation, decisions included, and how long it plays
AT_ONCE = 50_000
ZSTD, NOW = "zstd", "compact"


def messages(customers: int) -> Iterator[pa.Table]:
    """What Kafka would hold of some hours of the shop, a batch at a time."""
    count = int(customers * PER_CUSTOMER)
    rate = count / HOURS / 3600
    config = ShopConfig(seed=16, rate=rate, users=customers, items=ITEMS, list_length=LIST)
    addresses, offsets = Addresses(SHOP), Counter[tuple[str, int]]()
    names = ("topic", "partition", "offset", "value", "headers", "arrived_at")
    landed = arrow_schema(LANDED)
    types = [landed.field("timestamp" if name == "arrived_at" else name).type for name in names]
    rows: list[tuple[Any, ...]] = []
    for chunk in records(config, count):
        for line, arrival in zip(chunk.lines, chunk.arrivals, strict=True):
            topic, key, _ = addresses.of(line)
            place = (topic, zlib.crc32(key or b"") % (1 if topic == "catalog" else PARTITIONS))
            rows.append((*place, offsets[place], line, None, arrival * 1000))
            offsets[place] += 1
        if len(rows) >= AT_ONCE:
            yield _table(rows, names, types)
            rows = []
    if rows:
        yield _table(rows, names, types)


def _table(rows: list[tuple[Any, ...]], names: tuple[str, ...], types: list[pa.DataType]) -> pa.Table:
    columns = zip(names, zip(*rows, strict=True), types, strict=True)
    return pa.table({name: pa.array(values, kind) for name, values, kind in columns})


def filled(folder: Path, definitions: Definitions | None, customers: int) -> tuple[LmdbStore, int]:
    """A store, and how many events are folded into it."""
    store = LmdbStore(folder, "benchmark", readonly=False, definitions=definitions)
    updater, events = Updater(SHOP, DEFINITIONS, SETTINGS.silver, SETTINGS.store), 0
    for batch in messages(customers):
        events += updater.fold(batch, store)["silver.events"]
    return store, events


def timed(packer: Packer, all_of_them: list[bytes]) -> tuple[float, float, float]:
    """Mean bytes of a packed record, and median µs of packing and unpacking one."""
    spent: tuple[list[float], list[float]] = ([], [])
    size = 0
    for record in all_of_them:
        begin = time.perf_counter()
        packed = packer.packed(b"u", record)
        middle = time.perf_counter()
        packer.unpacked(b"u", packed)
        spent[1].append(time.perf_counter() - middle)
        spent[0].append(middle - begin)
        size += len(packed)
    pack, unpack = (statistics.median(each) * 1e6 for each in spent)
    return size / len(all_of_them), pack, unpack


def main() -> None:
    """Fill both, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000, help="of whom a fifth comes in that time")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        stores, packers = {}, {ZSTD: Packer(), NOW: Packer(DEFINITIONS)}
        for name, definitions in ((ZSTD, None), (NOW, DEFINITIONS)):
            harness.console.print(f"  {name} …")
            stores[name], events = filled(Path(folder) / name, definitions, args.customers)
        pairs = zip(stores[ZSTD].scan(b"u"), stores[NOW].scan(b"u"), strict=True)
        assert all(one == other for one, other in pairs), "the stores hold different records"
        held = dict(stores[NOW].scan(b"u"))
        packers[NOW].packed_all(held)  # numbers what they name
        for name, store in stores.items():
            stats = store.stats()
            packed, pack, unpack = timed(packers[name], list(held.values()))
            users, gib = stats.records["user"], (stats.bytes_per_million_users or 0) / 2**30
            rows.append([name, packed, stats.record_bytes["user"] / users, f"{gib:.2f}", pack, unpack])
            store.close()
    columns = ["records of users", "bytes", "in LMDB's pages", "GiB a million users", "pack us", "unpack us"]
    title = f"B16: the online store with {users:,} users of {events / users:.1f} events, lists of {LIST}"
    harness.publish("b16_store_size", title, columns, rows)


if __name__ == "__main__":
    main()
