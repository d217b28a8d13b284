"""Source records to Kafka: which topic a record goes to, under which key, and when it arrived."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from pipelines.clock import now_ms
from pipelines.contracts.records import KEY, TIME, TOPIC
from pipelines.domain import Domain
from pipelines.errors import InputFileError, nearest
from pipelines.io.files import UNREADABLE, read_values
from pipelines.io.producer import Sender
from pipelines.mapping import Getter, Router, compile_path, event_time_ms

READABLE = (".jsonl", ".jsonl.gz", ".csv", ".parquet")
UNKNOWN_TOPIC = "interactions"  # of what is no record of the domain: silver quarantines it there
TOPICS = tuple(sorted(set(TOPIC.values())))
POLL_EVERY = 1_000  # messages


class Address(NamedTuple):
    """Where a message goes: topic, key and its own time (epoch ms); the last two None for a stranger."""

    topic: str
    key: bytes | None
    time_ms: int | None


class Addresses:
    """Reads from a record's bytes where it goes, by the rules of a domain file."""

    def __init__(self, domain: Domain) -> None:
        self._router = Router(domain)
        self._unit = domain.time_unit
        self._routes: list[tuple[str, Getter, Getter]] = []
        for record in domain.records:
            key, at = (compile_path(record.fields[of[record.kind]]) for of in (KEY, TIME))
            self._routes.append((TOPIC[record.kind], key, at))
        self._decode = msgspec.json.Decoder().decode

    def of(self, value: bytes) -> Address:
        """The address of a message. What cannot be read, or matches no record, has no key and no time."""
        try:
            record = self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Address(UNKNOWN_TOPIC, None, None)
        index = self._router.index(record) if isinstance(record, dict) else None
        if index is None:
            return Address(UNKNOWN_TOPIC, None, None)
        topic, key, at = self._routes[index]
        return Address(topic, _key(key(record)), event_time_ms(at(record), self._unit))


def _key(value: Any) -> bytes | None:
    if isinstance(value, str) and value:
        return value.encode()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value).encode() if is_number else None


class ArrivalClock:
    """Gives each record the time at which it arrived, as far as its source tells.

    That is its own time. A record without one, or from the future, arrived when the newest before it did: one
    stamp ahead of its time would make everything after it look late. Before anything arrived, it is `now`.
    """

    def __init__(self, future_ms: int, now: Callable[[], int] = now_ms) -> None:
        self._future_ms, self._now = future_ms, now
        self._newest = 0
        self._limit = 0

    def stamp(self, time_ms: int | None) -> int:
        """Epoch ms of the record's arrival."""
        if time_ms is not None and time_ms > 0:
            if time_ms > self._limit:
                self._limit = self._now() + self._future_ms
            if time_ms <= self._limit:
                self._newest = max(self._newest, time_ms)
                return time_ms
        return self._newest or self._now()


class Pace:
    """Waits so that records leave `speed` times as fast as they once arrived; a speed of 0 never waits."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._first: tuple[int, float] | None = None

    def wait(self, stamp_ms: int) -> None:
        """Return when a record that arrived at `stamp_ms` is due; the first one is due at once."""
        if not self._speed:
            return
        if self._first is None:
            self._first = (stamp_ms, time.monotonic())
        due = self._first[1] + (stamp_ms - self._first[0]) / 1000 / self._speed
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)


def source_values(path: str, stdin: BinaryIO) -> Iterator[bytes]:
    """The records of a file, or of `stdin` for `-`: lines as they are, rows of CSV and Parquet as JSON.

    Raises InputFileError at once for a file that is not there or of an unknown kind, and on the way for one
    that turns out to be damaged, with the line or row behind which it is.
    """
    if path == "-":
        return (line.rstrip(b"\r\n") for line in stdin if line.strip())
    if not path.endswith(READABLE):
        kinds = ", ".join(READABLE)
        raise InputFileError(f"{path} is no kind of file that can be replayed: {kinds}, or - for stdin")
    if not Path(path).is_file():
        folder = Path(path).parent
        there = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        raise InputFileError(f"there is no file {path}{nearest(Path(path).name, there)}")
    return _guarded(path)


def _guarded(path: str) -> Iterator[bytes]:
    last = 0
    try:
        for number, value in read_values(path):
            last = number
            yield value
    except UNREADABLE as problem:
        raise InputFileError(f"{path} cannot be read behind line {last}: {problem}") from problem


class Replay:
    """Sends records in their order; counts those `read`, and `strangers`, which go without a key."""

    def __init__(self, sender: Sender, domain: Domain, clock: ArrivalClock, pace: Pace) -> None:
        self._sender, self._clock, self._pace = sender, clock, pace
        self._addresses = Addresses(domain)
        self.read = self.strangers = 0

    def run(self, values: Iterable[bytes], limit: int | None = None) -> None:
        """Send the records, at most `limit` of them. Does not flush."""
        for value in itertools.islice(values, limit):
            topic, key, time_ms = self._addresses.of(value)
            stamp = self._clock.stamp(time_ms)
            self._pace.wait(stamp)
            self._sender.send(topic, value, key, stamp)
            self.read += 1
            self.strangers += key is None
            if self.read % POLL_EVERY == 0:
                self._sender.poll()
