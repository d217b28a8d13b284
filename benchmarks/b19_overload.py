"""B19: lists asked for at five times the rate that the service can answer: what share of its best rate it
still answers, and how long good answers take.

The best rate is the better one of closed loops over 16 and 64 connections. Then requests are due at one half,
one, and five times that rate, open loop, over 64 and 512 connections. An answer that comes later than its
client's budget after the request was due is not a good one; what cannot even be sent by then, for want of a
free connection, is given up.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import asking, harness, served
from pipelines.cli._load import Plan, measure

SIZE = 100
CLOSED = (16, 64)
WARM_UP_S = 30.0
USERS = 1_000  # the same in both kinds of loop, none of them in the store before
BUDGET_S = 0.5
LOADS = ((0.5, 64), (1.0, 64), (5.0, 64), (5.0, 512))


def row(name: str, best: float, found: dict[str, Any]) -> list[Any]:
    """What came of a load."""
    answers = found["answers"]
    refused = sum(count for status, count in answers.items() if status in ("429", "503"))
    other = sum(answers.values()) - refused - answers.get("200", 0)
    counts = [answers.get("200", 0), refused, found["given_up"], other]
    times = [found.get(name) for name in ("p50_ms", "p99_ms", "refused_p99_ms")]
    return [name, found["rate"], found["goodput"], found["goodput"] / best, *counts, *times]


def main() -> None:
    """Find the best rate, then ask for more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load (default: 8)")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="lakepulse-b19-") as folder,
        served.shop(Path(folder)) as shop,
        served.stream(shop),
        served.service(shop) as (port, process),
    ):
        bodies = served.bodies(shop, SIZE, [f"load{number}" for number in range(USERS)])
        asking.figures(port, "/rank", bodies, 64, WARM_UP_S, [process])  # the stream's JVM is cold, too
        closed = {n: asking.figures(port, "/rank", bodies, n, args.seconds, [process]) for n in CLOSED}
        best = max(found["per_s"] for found in closed.values())
        rows: list[list[Any]] = []
        for connections, found in closed.items():
            per_s, p50, p99 = (found[name] for name in ("per_s", "p50_ms", "p99_ms"))
            name = f"closed loop, {connections} connections"
            rows.append([name, None, per_s, per_s / best, None, 0, 0, 0, p50, p99, None])
        for times, connections in LOADS:
            plan = Plan(times * best, args.seconds, connections, shop.items, SIZE, USERS, BUDGET_S)
            seen = asyncio.run(measure(f"http://127.0.0.1:{port}", "", plan))
            rows.append(row(f"{times:g} times, {connections} connections", best, seen))
    columns = [
        "load",
        "due/s",
        "good/s",
        "of the best closed loop",
        "answered",
        "429, 503",
        "given up",
        "other",
        "p50 ms",
        "p99 ms",
        "refused p99 ms",
    ]
    title = f"B19: lists of {SIZE} items within {BUDGET_S * 1000:.0f} ms, one process, overloaded"
    harness.publish("b19_overload", title, columns, rows)


if __name__ == "__main__":
    main()
