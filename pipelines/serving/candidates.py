"""Our own candidates, when a shop asks for some: what the user met lately, what goes with it, what is like
it, and what is popular."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest

import numpy as np
from numpy.typing import NDArray

from pipelines.features import program as p
from pipelines.features.carriers import Carrier
from pipelines.features.vectors import Vectors
from pipelines.serving.ranking import user_key

MOST_POPULAR = 1000
LATEST = 8  # items of the user whose neighbours are looked at
Ints = NDArray[np.int64]


class Candidates:
    """Chooses items of one catalog, with the vectors of one model."""

    def __init__(self, carrier: Carrier, ids: Sequence[str], keys: Ints) -> None:
        """`ids` are the catalog's items, the newest first, `keys` their hashes."""
        self._carrier = carrier
        self._ids = list(ids)
        self._id_of = dict(zip(keys.tolist(), ids, strict=True))
        self._vectors = carrier.catalog.vectors
        self._popular: list[str] = []

    @property
    def ids(self) -> Sequence[str]:
        """All items, the newest first."""
        return self._ids

    def learn_popular(self, outcomes: Mapping[str, float]) -> None:
        """Take the items with the most outcomes so far as the popular ones."""
        liked = [item for item, count in outcomes.items() if count > 0]
        self._popular = sorted(liked, key=lambda item: -outcomes[item])[:MOST_POPULAR]

    def choose(self, user_id: str, count: int, records: Mapping[bytes, bytes]) -> list[str]:
        """At most `count` different items: by turns one of each kind, then the newest of the catalog."""
        met = self._met(records.get(user_key(user_id)))
        kinds = [self._known(met), self._go_with(met), self._are_like(met, count), iter(self._popular)]
        by_turns = (item for turn in zip_longest(*kinds) for item in turn if item is not None)
        return list(islice(_different(by_turns, self._ids), count))

    def _met(self, record: bytes | None) -> list[int]:
        """Hashes of the user's latest items, the newest first."""
        if record is None:
            return []
        words = np.frombuffer(record, np.int64)[1:]
        when: dict[int, int] = {}
        for ring in self._carrier.definitions.program.rings:
            at, length = int(ring[p.RING_OFFSET]), int(ring[p.RING_LENGTH])
            held = min(int(words[at]), length)
            keys = words[at + 1 : at + 1 + held].tolist()
            times = words[at + 1 + length : at + 1 + length + held].tolist()
            for key, time in zip(keys, times, strict=True):
                when[key] = max(time, when.get(key, time))
        return sorted(when, key=lambda key: -when[key])

    def _known(self, keys: Iterable[int]) -> Iterator[str]:
        return (self._id_of[key] for key in keys if key in self._id_of)

    def _go_with(self, met: list[int]) -> Iterator[str]:
        """Co-visited with the latest items, the strongest first."""
        vectors = self._vectors
        if vectors is None or not met:
            return iter(())
        found: dict[int, float] = {}
        starts = vectors.pair_starts[-1]
        for row in self._rows(vectors, met):
            for at in range(int(starts[row]), int(starts[row + 1])):
                other = int(vectors.pair_items[at])
                found[other] = found.get(other, 0.0) + float(vectors.pair_scores[at])
        order = sorted(found, key=lambda row: -found[row])
        return self._known(int(vectors.item_keys[row]) for row in order)

    def _are_like(self, met: list[int], count: int) -> Iterator[str]:
        """Nearest to the mean of the latest items, by behaviour where it was learnt, otherwise by text."""
        vectors = self._vectors
        if vectors is None or not met:
            return iter(())
        space = next((s for s in (vectors.behaviour[-1], vectors.text, vectors.image) if s.shape[-1]), None)
        rows = self._rows(vectors, met)
        if space is None or not rows.size:
            return iter(())
        likeness = space @ space[rows].mean(axis=0)
        nearest = np.argpartition(-likeness, min(count, likeness.size - 1))[:count]
        order = nearest[np.argsort(-likeness[nearest], kind="stable")]
        return self._known(vectors.item_keys[order].tolist())

    @staticmethod
    def _rows(vectors: Vectors, met: list[int]) -> Ints:
        if not vectors.item_keys.size:
            return np.zeros(0, np.int64)
        rows = vectors.rows(np.array(met[:LATEST], np.int64))
        return rows[rows >= 0]


def _different(*kinds: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for kind in kinds:
        for item in kind:
            if item not in seen:
                seen.add(item)
                yield item
