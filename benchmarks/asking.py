"""A closed loop of requests over so many connections: each asks again once it is answered."""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import psutil

from pipelines.cli._load import answered


@dataclass
class Heard:
    """Seconds that answers took, and how many answers were not 200."""

    times: list[float] = field(default_factory=list)
    failed: int = 0


def figures(
    port: int,
    path: str,
    bodies: Sequence[bytes],
    connections: int,
    seconds: float,
    servers: Sequence[psutil.Process],
) -> dict[str, float]:
    """Requests a second, p50 and p99 in ms, and CPU ms of all `servers` for a request."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: "
    messages = [head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]
    before, heard = cpu_of(servers), Heard()
    began = time.perf_counter()
    asyncio.run(_ask(port, messages, connections, seconds, heard))
    took = time.perf_counter() - began
    if heard.failed:
        raise SystemExit(f"{heard.failed} of {len(heard.times) + heard.failed} requests to {path} failed")
    p50, p99 = np.percentile(heard.times, (50, 99)) * 1000
    return {
        "per_s": len(heard.times) / took,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "cpu_ms": (cpu_of(servers) - before) / len(heard.times) * 1000,
    }


def cpu_of(servers: Sequence[psutil.Process]) -> float:
    """CPU seconds so far of these processes and those they have started."""
    total = 0.0
    for server in servers:
        for each in [server, *server.children(recursive=True)]:
            times = each.cpu_times()
            total += times.user + times.system
    return total


async def _ask(port: int, messages: Sequence[bytes], connections: int, seconds: float, heard: Heard) -> None:
    until = time.perf_counter() + seconds
    await asyncio.gather(
        *(_keep_asking(port, messages, n, connections, until, heard) for n in range(connections))
    )


async def _keep_asking(
    port: int, messages: Sequence[bytes], first: int, step: int, until: float, heard: Heard
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = first
    while (began := time.perf_counter()) < until:
        writer.write(messages[number % len(messages)])
        number += step
        if await answered(reader) == http.client.OK:
            heard.times.append(time.perf_counter() - began)
        else:
            heard.failed += 1
    writer.close()
