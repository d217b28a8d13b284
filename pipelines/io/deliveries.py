"""Deliveries: each channel has its own queue on disk and its own thread, so that one that is dead loses
nothing and keeps nobody waiting.

A message is delivered at least once: it leaves the queue after the channel took it, and carries a key by
which the other side knows a repeat.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from pipelines.anomalies.alert_rows import Message
from pipelines.errors import DeliveryError, RefusedError
from pipelines.io.channels import Channel, channels
from pipelines.io.spool import Spool
from pipelines.settings import Settings

log = logging.getLogger("lakepulse")
FIRST_S = 1.0
_by_chance = random.SystemRandom()


def pause_s(failures: int, most_s: float, chance: float) -> float:
    """Seconds until the next try after so many failures: twice as long each time, by a half more or less.

    >>> [pause_s(n, 60.0, 0.5) for n in (1, 2, 3, 20)]
    [1.0, 2.0, 4.0, 60.0]
    """
    return float(min(most_s, FIRST_S * 2 ** min(failures - 1, 30))) * (0.5 + chance)


class Queue:
    """What waits for one channel, and the thread that delivers it."""

    def __init__(
        self, channel: Channel, folder: Path, most_bytes: int, most_s: float, chance: Callable[[], float]
    ) -> None:
        """Take up what an earlier process left."""
        self._channel, self._most_s, self._chance = channel, most_s, chance
        self._spool = Spool(folder / f"{channel.name}.queue", most_bytes)
        self._refused = folder / f"{channel.name}.refused.jsonl"
        self._lock = threading.Lock()
        self._news, self._ending = threading.Event(), threading.Event()
        self._failures = 0
        self._thread = threading.Thread(target=self._serve, name=f"to-{channel.name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return self._spool.count

    def put(self, message: Message) -> None:
        """Take a message. Raises DeliveryError when the disk's share is full: the caller keeps it then."""
        with self._lock:
            is_kept = self._spool.put(
                (message.key.encode(), msgspec.json.encode(message), message.notified_ms)
            )
        if not is_kept:
            raise DeliveryError(
                f"{self._spool.count} alerts wait for {self._channel.name}, alerts.outbox_mb is full: "
                "mend the channel, or raise the limit"
            )
        self._news.set()

    def close(self, timeout_s: float) -> None:
        """Stop delivering; what waits stays on disk."""
        self._ending.set()
        self._news.set()
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._spool.close()

    def _serve(self) -> None:
        while not self._ending.is_set():
            with self._lock:
                oldest = self._spool.oldest(1)
            if not oldest:
                self._news.wait()
                self._news.clear()
                continue
            message = msgspec.json.decode(oldest[0][1], type=Message)
            try:
                self._channel.deliver(message)
            except RefusedError as problem:
                self._set_aside(message, problem)
            except DeliveryError as problem:
                self._failures += 1
                pause = pause_s(self._failures, self._most_s, self._chance())
                log.warning("%s: %s; again in %.0f s", self._channel.name, problem, pause)
                self._ending.wait(pause)
                continue
            self._failures = 0
            with self._lock:
                self._spool.drop(1)

    def _set_aside(self, message: Message, problem: RefusedError) -> None:
        name = self._channel.name
        log.error("%s refuses %s for good: %s; kept in %s", name, message.key, problem, self._refused)
        with self._refused.open("ab") as file:
            file.write(msgspec.json.encode({"problem": str(problem), "message": message}) + b"\n")


class Deliveries:
    """All channels of an installation."""

    def __init__(
        self,
        these: Sequence[Channel],
        folder: Path,
        most_bytes: int,
        most_s: float,
        chance: Callable[[], float] = _by_chance.random,
    ) -> None:
        """`folder` is this process's own; `most_s` are the seconds between two tries at most."""
        self.queues = {c.name: Queue(c, folder, most_bytes, most_s, chance) for c in these}

    def put(self, message: Message) -> None:
        """Hand a message to every channel. Raises DeliveryError when one has no room; none is lost then, but
        others may get it twice."""
        for queue in self.queues.values():
            queue.put(message)

    def waiting(self) -> dict[str, int]:
        """How many messages wait, by channel."""
        return {name: queue.waiting for name, queue in self.queues.items()}

    def close(self, timeout_s: float = 2.0) -> None:
        """Stop after that time, or once nothing waits; what waits then stays on disk for the next process."""
        until = time.monotonic() + timeout_s
        while any(self.waiting().values()) and time.monotonic() < until:
            time.sleep(0.02)
        for queue in self.queues.values():
            queue.close(timeout_s)


def deliveries(settings: Settings) -> Deliveries:
    """The channels of an installation, with what waits for them in its state folder. Raises SettingsError for
    a channel that is set up in part."""
    config = settings.alerts
    about = (settings.state / "alerts", config.outbox_mb << 20, config.retry_most_s)
    return Deliveries(channels(settings), *about)
