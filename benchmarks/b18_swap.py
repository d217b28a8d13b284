"""B18: a new champion every five seconds while lists are asked for: failed requests, and the seconds from a
promotion to the first answer by the new version; beside the same load while the champion stays."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness, served
from pipelines.cli._load import Plan, measure
from pipelines.client import Client
from pipelines.errors import RequestError
from pipelines.models.registry import Registry

EVERY_S, WITHIN_S, WARM_UP_S = 5.0, 30.0, 30.0


def swapped(registry: Registry, name: str, version: str, client: Client, shop: served.Shop) -> float:
    """Promote a version; seconds until it answers."""
    began = time.monotonic()
    registry.promote(name, version)
    while time.monotonic() - began < WITHIN_S:
        with contextlib.suppress(RequestError):  # refused: the machine is too busy for this one, ask again
            if client.rank(shop.users[0], shop.items[:5]).model_version == f"{name}/{version}":
                return time.monotonic() - began
        time.sleep(0.02)
    raise SystemExit(f"version {version} did not answer within {WITHIN_S:.0f} s of its promotion")


def main() -> None:
    """Load, swap, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (default: 200)")
    parser.add_argument("--swaps", type=int, default=8, help="promotions (default: 8)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lakepulse-b18-") as folder, served.shop(Path(folder)) as shop:
        registry, name = Registry(shop.settings.tracking_uri), shop.training.name
        versions = ["1", registry.register(shop.training)]
        with (
            served.stream(shop),
            served.service(shop) as (port, _),
            Client(f"http://127.0.0.1:{port}") as client,
        ):
            address = f"http://127.0.0.1:{port}"
            plan = Plan(args.rate, args.swaps * EVERY_S + 2, 32, shop.items, 50, 500)
            asyncio.run(measure(address, "", dataclasses.replace(plan, seconds=WARM_UP_S)))
            rows = [row("the champion stays", asyncio.run(measure(address, "", plan)), [])]
            answers: dict[str, Any] = {}
            load = threading.Thread(target=lambda: answers.update(asyncio.run(measure(address, "", plan))))
            load.start()
            took = []
            for number in range(args.swaps):
                began = time.monotonic()
                took.append(swapped(registry, name, versions[(number + 1) % 2], client, shop))
                time.sleep(max(0.0, EVERY_S - (time.monotonic() - began)))
            load.join()
            rows.append(row(f"{args.swaps} champions in turn", answers, took))
    columns = ["", "requests", "failed", "swap s, median", "most", "p50 ms", "p90 ms", "p99 ms"]
    title = f"B18: champions swapped under {args.rate:g} requests a second for 50 items each"
    harness.publish("b18_swap", title, columns, rows)


def row(name: str, found: dict[str, Any], took: list[float]) -> list[Any]:
    """What came of a load, and of the swaps during it."""
    failed = found["unanswered"] + sum(n for status, n in found["answers"].items() if status != "200")
    swaps = [float(np.median(took)), max(took)] if took else [None, None]
    return [name, found["sent"], failed, *swaps, *(found[p] for p in ("p50_ms", "p90_ms", "p99_ms"))]


if __name__ == "__main__":
    main()
