"""A ranking made ready: one model version, one state of the catalog, and every kernel warm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow.compute as pc

from pipelines.features.carriers import Request
from pipelines.features.catalog import Catalog
from pipelines.features.definitions import Definitions
from pipelines.features.hashing import hash_texts
from pipelines.features.kept import KeptCarrier
from pipelines.serving.accepted import Accepted, Taken
from pipelines.serving.candidates import Candidates
from pipelines.serving.in_charge import InCharge
from pipelines.serving.intake import decided
from pipelines.serving.ports import Fences, Items, Lacking, Snapshot
from pipelines.serving.ranking import Ranking

WARM = (1, 3, 10, 100, 1000)
AGAIN = (1, 3, 10, 100)
"""Lists that are ranked to try an engine while another one answers: what is compiled is compiled, and a list
of 1000 would keep requests waiting."""


@dataclass(frozen=True)
class Engine:
    """What answers, from one swap to the next."""

    ranking: Ranking
    candidates: Candidates
    items_version: int | None

    @property
    def model(self) -> InCharge:
        """The version in charge."""
        return self.ranking.model


@dataclass(frozen=True)
class _Nothing:
    records: dict[bytes, bytes]
    fences: dict[tuple[str, int], int]
    generation: object = None


class _EmptyStore:
    def read(self, keys: object) -> Snapshot:
        return _Nothing({}, {})

    def read_since(self, generation: object, lacking: Lacking) -> Snapshot:
        lacking(None)
        return _Nothing({}, {})

    def fences(self) -> Fences:
        return {}


def build(
    model: InCharge, items: Items, definitions: Definitions, now_ms: int, sizes: Sequence[int] = WARM
) -> Engine:
    """An engine that has answered lists of these sizes before: its first request finds everything compiled
    and loaded. Raises LakePulseError when it cannot answer."""
    catalog = Catalog(definitions, model.ranker.vectors)
    catalog.learn(items.rows)
    newest = pc.sort_indices(pc.negate(items.rows["valid_from"].cast("int64")))
    ids = list(dict.fromkeys(items.rows["item_id"].take(newest).to_pylist()))
    carrier = KeptCarrier(definitions, catalog)
    keys = hash_texts(items.rows["item_id"].take(newest)) if ids else np.zeros(0, np.int64)
    different = list(dict.fromkeys(keys.tolist()))
    ranking = Ranking(carrier, frozenset(ids), model)
    warm_up(ranking, ids, now_ms, sizes)
    candidates = Candidates(carrier, ids, np.array(different, np.int64))
    return Engine(ranking, candidates, items.version)


def warm_up(ranking: Ranking, ids: list[str], now_ms: int, sizes: Sequence[int]) -> None:
    """Rank lists of these sizes, with and without something to be folded on top."""
    some = ids or ["0"]
    for size in sizes:
        items = [some[at % len(some)] for at in range(size)]
        accepted = Accepted(1)
        for _ in range(2):
            request = Request("warm-up", list(dict.fromkeys(items)), now_ms, "a query")
            ranked = ranking.rank(request, _EmptyStore(), accepted)
            ranking.outcomes(request, _EmptyStore())
            made = partial(decided, "warm-up", "warm-up", ranked.items, "a query", now_ms)
            accepted.take("warm-up", Taken(made, ""))
    zeros = np.full((max(sizes), len(ranking.carrier.definitions.names)), np.nan, np.float32)
    for size in sizes:
        ranking.model.score(zeros[:size])
