"""What the service needs of the outside, as the jobs hand it in: this room opens nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

Fences = Mapping[tuple[str, int], int]
"""(topic, partition) → the next offset that the online store will fold."""


Lacking = Callable[[bytes | None], Sequence[bytes]]
"""Takes keys that have changed, one behind the other, or None for any; gives those that must be read. It may
be called more than once for one reading."""


class Snapshot(Protocol):
    """Records by key, those that there are, and the fences of the same moment."""

    @property
    def records(self) -> Mapping[bytes, bytes]:
        """The records."""

    @property
    def fences(self) -> Fences:
        """The fences that they stand behind."""

    @property
    def generation(self) -> object:
        """Which state of the store this is, for `Store.read_since`."""


class Store(Protocol):
    """The online store, for reading."""

    def read(self, keys: Sequence[bytes]) -> Snapshot:
        """The records that there are of these keys, as they were at one moment. Raises LakePulseError when
        the store cannot be read."""

    def read_since(self, generation: object, lacking: Lacking) -> Snapshot:
        """The records that there are of the keys that `lacking` names, once it is told which records of items
        and values have changed since `generation`, all at one moment. Raises LakePulseError as `read`."""

    def fences(self) -> Fences:
        """The fences now, or as they were at the latest reading. Raises LakePulseError as `read`."""


Delivered = Callable[[str | None, int, int], None]
"""Takes what went wrong (None: nothing), the partition and the offset; called from another thread."""


class Outbox(Protocol):
    """The way to Kafka."""

    def send(self, topic: str, key: bytes, value: bytes, timestamp_ms: int, done: Delivered) -> None:
        """Hand over a message that must not wait on disk; `done` hears what became of it."""

    def decide(self, key: bytes, value: bytes, timestamp_ms: int, done: Delivered) -> None:
        """Hand over a decision; while Kafka is away it waits on disk, and `done` hears nothing."""

    def feature_values(self, key: bytes, value: bytes, timestamp_ms: int) -> None:
        """Hand over the features of a decision, to be left out when too much waits."""

    def counts(self) -> Mapping[str, int]:
        """Counters and gauges, by the name of the metric."""

    def close(self, timeout_s: float) -> None:
        """Wait until Kafka has everything, or what must not be lost is on disk."""


@dataclass(frozen=True)
class Items:
    """Rows of silver.items, and the version of the table that they are of."""

    version: int | None
    rows: pa.Table


@dataclass(frozen=True)
class Outside:
    """Everything outside: the store, Kafka, the catalog, the tokens' file, what the lake keeps of a decision,
    and the clock (epoch ms)."""

    store: Store
    outbox: Outbox
    items_version: Callable[[], int | None]
    items: Callable[[], Items]
    tokens: Callable[[], str | None]
    decided: Callable[[str], Any]
    now_ms: Callable[[], int]
