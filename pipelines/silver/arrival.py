"""The order in which rows arrived, and which of them came late. Both follow from bronze alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Numbers = npt.NDArray[np.int64]
Source = tuple[str, int]
"""A topic and one of its partitions."""


@dataclass(frozen=True)
class Arrivals:
    """When the rows of a batch arrived.

    `newest_ms` is the highest Kafka timestamp that a row's partition had delivered up to and with it. Rows are
    ordered by it, then by topic, partition and offset: the offset alone within a partition.
    """

    topics: list[str]
    partitions: Numbers
    offsets: Numbers
    arrived_ms: Numbers
    newest_ms: Numbers

    def key(self, position: int) -> tuple[int, str, int, int]:
        """What rows are ordered by."""
        row = int(self.partitions[position]), int(self.offsets[position])
        return (int(self.newest_ms[position]), self.topics[position], *row)

    def place(self, position: int) -> tuple[str, int, int]:
        """Topic, partition and offset of a row."""
        return self.topics[position], int(self.partitions[position]), int(self.offsets[position])

    def first_offsets(self) -> dict[Source, int]:
        """The lowest offset of each source in the batch."""
        return {source: int(self.offsets[at].min()) for source, at in self._sources()}

    def reached(self) -> dict[Source, int]:
        """The highest Kafka timestamp of each source in the batch."""
        return {source: int(self.newest_ms[at].max()) for source, at in self._sources()}

    def up_to(self, offsets: dict[Source, int]) -> Numbers:
        """Positions of the rows whose offset is not above the one given for their source."""
        found = [at[self.offsets[at] <= offsets[source]] for source, at in self._sources() if source in offsets]
        return np.concatenate([np.zeros(0, dtype=np.int64), *found])

    def _sources(self) -> list[tuple[Source, Numbers]]:
        return _by_source(self.topics, self.partitions)


def arrivals(landed: pa.Table, newest_ms: dict[Source, int]) -> Arrivals:
    """Arrivals of landed rows; `newest_ms` says what each source had delivered before them."""
    topics = landed["topic"].to_pylist()
    partitions = landed["partition"].to_numpy().astype(np.int64)
    offsets = landed["offset"].to_numpy()
    arrived = landed["arrived_at"].cast(pa.int64()).to_numpy() // 1000
    newest = np.empty(len(arrived), dtype=np.int64)
    for source, positions in _by_source(topics, partitions):
        in_order = positions[np.argsort(offsets[positions], kind="stable")]
        reached = np.maximum.accumulate(arrived[in_order])
        newest[in_order] = np.maximum(reached, newest_ms.get(source, reached[0]))
    return Arrivals(topics, partitions, offsets, arrived, newest)


def _by_source(topics: list[str], partitions: Numbers) -> list[tuple[Source, Numbers]]:
    """Positions of the rows of each source."""
    codes = pa.array(topics, pa.string()).dictionary_encode()
    numbers = codes.indices.to_numpy().astype(np.int64) << 32 | partitions
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    groups = np.split(order, starts[1:]) if len(order) else []
    return [((topics[int(group[0])], int(partitions[group[0]])), group) for group in groups]
