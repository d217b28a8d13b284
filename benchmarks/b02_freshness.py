"""B2: how long after it was produced is an event visible in bronze, at a steady rate: ours beside the stock
Delta sink.

Visible means committed: the modification time of the commit that adds the row's file. Produced means the
Kafka timestamp. Both are this machine's clock. Rows of the first 45 seconds are left out for both, and rows
never committed count as slower than any other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks import harness
from benchmarks.load import broker, produce_steadily

WARM_UP_S = 45


def latencies(table: Path, since_ms: float) -> np.ndarray[Any, Any]:
    """Seconds from Kafka timestamp to commit of every row produced after `since_ms`."""
    found = []
    for commit in sorted((table / "_delta_log").glob("*.json")):
        visible = commit.stat().st_mtime
        for action in map(json.loads, commit.read_text().splitlines()):
            if "add" in action:
                produced = (
                    pq.ParquetFile(table / action["add"]["path"])
                    .read(columns=["timestamp"])["timestamp"]
                    .to_numpy()
                )
                seconds = produced.astype("datetime64[us]").astype(np.int64) / 1e6
                found.append(visible - seconds[seconds * 1000 >= since_ms])
    return np.concatenate(found) if found else np.empty(0)


def has_rows(table: Path) -> bool:
    """Whether any commit has added a file: the contender is at work."""
    return any('"add"' in commit.read_text() for commit in (table / "_delta_log").glob("*.json"))


def contender(name: str, rate: int, seconds: int) -> dict[str, Any]:
    """Run one contender against a broker of its own while events come in."""
    with (
        tempfile.TemporaryDirectory(prefix="lakepulse-b02-") as folder,
        broker(Path(folder) / "kafka") as bootstrap,
    ):
        stop, table = Path(folder) / "stop", Path(folder) / "lake" / "bronze" / "interactions"
        env = os.environ | {"LAKEPULSE__PATHS__STATE": folder, "LAKEPULSE__KAFKA__BOOTSTRAP": bootstrap}
        command = [sys.executable, "-m", "benchmarks.b02_case", name, str(stop)]
        with (Path(folder) / "log").open("w") as log:
            running = subprocess.Popen(
                command, cwd=harness.ROOT, env=env, stdout=subprocess.PIPE, stderr=log, text=True
            )
            produce_steadily(bootstrap, rate, 3)
            while not has_rows(table) and running.poll() is None:
                time.sleep(0.2)
            since = time.time() * 1000 + WARM_UP_S * 1000
            sent = produce_steadily(bootstrap, rate, seconds + WARM_UP_S, since)
            time.sleep(5)
            stop.touch()
            out, _ = running.communicate(timeout=120)
        if running.returncode != 0:
            raise SystemExit((Path(folder) / "log").read_text()[-4000:])
        seen = latencies(table, since)
    late = np.concatenate([seen, np.full(max(0, sent - len(seen)), np.inf)])
    p50, p99 = (float(np.quantile(late, q, method="higher")) for q in (0.5, 0.99))
    return {
        "p50_s": p50,
        "p99_s": p99,
        "missing": sent - len(seen),
        **json.loads(out.strip().splitlines()[-1]),
    }


def main() -> None:
    """Run both in turn, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=5000, help="events a second (default: 5,000)")
    parser.add_argument("--seconds", type=int, default=45, help="measured seconds of each run (default: 45)")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each contender (default: 1)")
    args = parser.parse_args()
    cases = {"ours: land_bronze": "ours", "stock Delta sink": "stock"}
    runs = {title: (lambda n=name: contender(n, args.rate, args.seconds)) for title, name in cases.items()}
    found = harness.alternate(runs, args.rounds)
    figures = ("p50_s", "p99_s", "cpu_s", "missing")
    rows = [[title, *(harness.median(r, f) for f in figures)] for title, r in found.items()]
    columns = ["contender", "p50 s", "p99 s", "CPU s", "not visible 5 s after the end"]
    title = f"B2: produced → visible in bronze at {args.rate:,} events/s, {args.seconds} s"
    harness.publish("b02_freshness", title, columns, rows, runs=found)


if __name__ == "__main__":
    main()
