"""An open-loop generator of ranking requests, in one process."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np

MOST_WAITING = 20_000
GRACE_S = 5.0
ASKING = b"POST /rank HTTP/1.1\r\n"
PERCENTILES = (50, 90, 99, 99.9)


@dataclass(frozen=True)
class Plan:
    """What is asked: `rate` requests a second for `seconds`, lists of `size` of the `ids`, by `users`; each
    wants its answer within `budget_s` (None: whenever), says so, and is given up when it is not even sent by
    then."""

    rate: float
    seconds: float
    connections: int
    ids: Sequence[str]
    size: int
    users: int
    budget_s: float | None = None


@dataclass
class _Seen:
    answers: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)  # seconds from sending to hearing no
    unanswered: int = 0
    given_up: int = 0
    late_starts: float = 0.0

    def all(self) -> int:
        """Requests of which it is known what became."""
        return self.answers.total() + self.unanswered + self.given_up


async def measure(address: str, token: str, plan: Plan) -> dict[str, Any]:
    """Ask as planned: answers by status, good ones a second within the budget, and percentiles in ms of the
    times of good answers and refusals."""
    parts = urlsplit(address)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    where = (parts.hostname or "127.0.0.1", parts.port or (443 if tls else 80))
    messages = _messages(parts.netloc, token, plan)
    waiting: deque[tuple[float, bytes]] = deque()
    due, seen = asyncio.Event(), _Seen()
    asking = [
        asyncio.create_task(_keep_asking(where, tls, waiting, due, seen, plan.budget_s))
        for _ in range(plan.connections)
    ]
    began = time.perf_counter()
    for number in range(round(plan.rate * plan.seconds)):
        moment = began + number / plan.rate
        if (ahead := moment - time.perf_counter()) > 0:
            await asyncio.sleep(ahead)
        seen.late_starts = max(seen.late_starts, -ahead)
        if len(waiting) >= MOST_WAITING:
            seen.unanswered += 1
            continue
        waiting.append((moment, messages[number % len(messages)]))
        due.set()
    took = time.perf_counter() - began
    until = time.perf_counter() + GRACE_S
    sent = round(plan.rate * plan.seconds)
    while seen.all() < sent and time.perf_counter() < until:
        await asyncio.sleep(0.01)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    return _summary(plan, seen, took, sent)


def _messages(host: str, token: str, plan: Plan) -> list[bytes]:
    chance = np.random.default_rng(7)
    own = f"authorization: Bearer {token}\r\n" if token else ""
    messages = []
    for number in range(min(plan.users, 1000)):
        chosen = chance.choice(len(plan.ids), min(plan.size, len(plan.ids)), replace=False)
        asked = {"user_id": f"load{number}", "items": [plan.ids[at] for at in chosen]}
        body = msgspec.json.encode(asked)
        head = f"host: {host}\r\n{own}content-length: {len(body)}\r\n\r\n"
        messages.append(head.encode() + body)
    return messages


async def _keep_asking(
    where: tuple[str, int],
    tls: ssl.SSLContext | None,
    waiting: deque[tuple[float, bytes]],
    due: asyncio.Event,
    seen: _Seen,
    budget_s: float | None,
) -> None:
    """Ask what is due over one connection, again and again."""
    reader, writer = await asyncio.open_connection(*where, ssl=tls)
    try:
        while True:
            while not waiting:
                due.clear()
                await due.wait()
            moment, message = waiting.popleft()
            sent = time.perf_counter()
            line = ASKING
            if budget_s is not None:
                left_ms = int((moment + budget_s - sent) * 1000)
                if left_ms < 1:
                    seen.given_up += 1
                    continue
                line += b"x-budget-ms: %d\r\n" % left_ms
            try:
                writer.write(line + message)
                status = await answered(reader)
            except (OSError, asyncio.IncompleteReadError):
                seen.unanswered += 1
                writer.close()
                reader, writer = await asyncio.open_connection(*where, ssl=tls)
                continue
            seen.answers[status] += 1
            if status == 200:
                seen.times.append(time.perf_counter() - moment)
            else:
                seen.refused.append(time.perf_counter() - sent)
    finally:
        writer.close()


async def answered(reader: asyncio.StreamReader) -> int:
    """Read one answer, body and all; its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    await reader.readexactly(length)
    return int(lines[0].split()[1])


def _summary(plan: Plan, seen: _Seen, took: float, sent: int) -> dict[str, Any]:
    times, refused = np.array(seen.times) * 1000, np.array(seen.refused) * 1000
    found: dict[str, float] = {}
    if times.size:
        found = {f"p{p:g}_ms": round(float(np.percentile(times, p)), 2) for p in PERCENTILES}
    if refused.size:
        found["refused_p99_ms"] = round(float(np.percentile(refused, 99)), 2)
    good = np.count_nonzero(times <= (np.inf if plan.budget_s is None else plan.budget_s * 1000))
    return {
        "rate": plan.rate,
        "sent": sent,
        "answers": {str(status): count for status, count in sorted(seen.answers.items())},
        "unanswered": sent - seen.answers.total() - seen.given_up,
        "given_up": seen.given_up,
        "goodput": round(good / took, 1),
        **found,
        "generator_late_ms": round(seen.late_starts * 1000, 1),
    }


def shown(found: dict[str, Any]) -> str:
    """The summary in a few lines."""
    answers = ", ".join(f"{count} x {status}" for status, count in found["answers"].items())
    lines = [
        f"{found['sent']} requests at {found['rate']:g} a second: {answers}",
        f"without an answer: {found['unanswered']}",
        f"good answers a second: {found['goodput']}",
    ]
    if found["given_up"]:
        lines.insert(2, f"given up before they were sent: {found['given_up']}")
    if "refused_p99_ms" in found:
        lines.append(f"from sent to refused: p99 {found['refused_p99_ms']} ms")
    times = [f"{name.removesuffix('_ms')} {found[name]} ms" for name in found if name.startswith("p")]
    if times:
        lines.append(f"from due to answered: {', '.join(times)}")
    if found["generator_late_ms"] > 10:
        lines.append(
            f"the generator itself was up to {found['generator_late_ms']} ms late: it needs a lower rate, or "
            "a machine of its own"
        )
    return "\n".join(lines)
