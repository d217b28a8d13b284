"""The training set: what was known of every candidate when it was shown, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.errors import TrainingError
from pipelines.features.catalog import Catalog
from pipelines.features.columns import as_ms, lists, whole
from pipelines.features.definitions import Definitions
from pipelines.features.hashing import hash_texts
from pipelines.features.history import in_arrival_order
from pipelines.features.replay import Probes, Replay
from pipelines.features.vectors import Vectors
from pipelines.models.ranker import Examples

OUTCOME_COLUMNS = ("decision_id", "item_id", "label")
"""What is read of gold.decision_outcomes."""
RANKING_COLUMNS = (
    "decision_id",
    "position",
    "decided_at",
    "label",
    "features",
    "popularity",
    "outcome_rate",
    "earlier_events",
    "propensity",
    "definitions_hash",
    "vectors_version",
)
"""What a training reads of gold.training_rows."""


def training_rows(
    domain: str,
    definitions: Definitions,
    events: pa.Table,
    decisions: pa.Table,
    items: pa.Table,
    outcomes: pa.Table,
    vectors: Vectors | None = None,
) -> pa.Table:
    """Rows of gold.training_rows from silver's events, decisions and items and the latest
    gold.decision_outcomes.

    One row for each item that a decision showed, at its first place, with the features as they were when the
    decision was made: what arrived later plays no part. Left out are decisions whose outcomes are not
    published.
    """
    catalog = Catalog(definitions, vectors)
    catalog.learn(items)
    probes = Replay(definitions, catalog).advance(in_arrival_order(events, decisions, definitions.events))
    version = vectors.version if vectors and definitions.needs_vectors else None
    return rows_of(domain, definitions, probes, decisions, outcomes, version)


def rows_of(
    domain: str,
    definitions: Definitions,
    probes: Probes,
    decisions: pa.Table,
    outcomes: pa.Table,
    vectors_version: str | None = None,
) -> pa.Table:
    """Rows of gold.training_rows for what a replay has read; late decisions are left out, see `Probes`."""
    sizes = np.diff(probes.starts)
    probed = decisions.take(pa.array(probes.decision_rows))
    of_decision = np.repeat(np.arange(sizes.size), sizes)
    _, listed = lists(probed["items"])
    positions = np.arange(of_decision.size) - np.repeat(probes.starts[:-1], sizes) + 1
    pairs = _pair_keys(hash_texts(probed["decision_id"])[of_decision], hash_texts(listed))
    known = _pair_keys(hash_texts(outcomes["decision_id"]), hash_texts(outcomes["item_id"]))
    outcome_row = _rows_of_keys(known, pairs)
    first = np.zeros(pairs.size, bool)
    first[np.unique(pairs, return_index=True)[1]] = True
    kept = np.flatnonzero(first & (outcome_row >= 0) & ~probes.is_late[of_decision])
    decision = of_decision[kept]
    shown = probed.take(pa.array(decision))
    made = pc.coalesce(shown["as_of"], shown["event_time"])
    features = np.ascontiguousarray(probes.features[kept])
    return pa.table(
        {
            "domain": pa.repeat(domain, kept.size),
            "decision_id": shown["decision_id"],
            "item_id": listed.take(pa.array(kept)),
            "user_id": shown["user_id"],
            "position": positions[kept].astype(np.int32),
            "decided_at": shown["event_time"],
            "as_of": made,
            "label": outcomes["label"].take(pa.array(outcome_row[kept])),
            "features": _as_lists(features),
            "popularity": probes.baselines[kept, 0],
            "outcome_rate": probes.baselines[kept, 1],
            "earlier_events": probes.earlier_events[decision].astype(np.int32),
            "propensity": pa.array(_propensities(probed["propensity"], sizes)[kept], from_pandas=True),
            "definitions_hash": pa.repeat(definitions.hash, kept.size),
            "vectors_version": pa.repeat(pa.scalar(vectors_version, pa.string()), kept.size),
        }
    )


def _pair_keys(decisions: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64]:
    return decisions * np.int64(0x2545F4914F6CDD1D) + items


def _rows_of_keys(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each wanted key stands in `keys`, -1 for none."""
    order = np.argsort(keys)
    place = np.searchsorted(keys, wanted, sorter=order)
    rows = np.append(order, -1)[place]
    return np.where(np.append(keys, 0)[rows] == wanted, rows, -1)


def _propensities(given: pa.ChunkedArray, sizes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Of each item shown its propensity, NaN for all items of a decision that gives none."""
    propensities = np.full(int(sizes.sum()), np.nan, np.float32)
    known = given.is_valid().to_numpy()
    propensities[np.repeat(known, sizes)] = whole(given).flatten().to_numpy(zero_copy_only=False)
    return propensities


def _as_lists(matrix: NDArray[np.float32]) -> pa.Array:
    starts = np.arange(matrix.shape[0] + 1, dtype=np.int32) * matrix.shape[1]
    return pa.ListArray.from_arrays(pa.array(starts), pa.array(matrix.ravel()))


@dataclass(frozen=True)
class Rankings:
    """Training rows as arrays, decisions by time. Rows of decision k are `starts[k]:starts[k + 1]`, in shown
    order.

    `decided_at` (ms) and `earlier_events` (of the user) are per decision, everything else per row.
    `propensity` is NaN where a decision gives none; None where no decision does.
    """

    names: list[str]
    features: NDArray[np.float32]
    labels: NDArray[np.float32]
    positions: NDArray[np.int64]
    popularity: NDArray[np.float32]
    outcome_rate: NDArray[np.float32]
    starts: NDArray[np.int64]
    decided_at: NDArray[np.int64]
    earlier_events: NDArray[np.int64]
    propensity: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """How many decisions."""
        return int(self.decided_at.size)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Rows of each decision."""
        return np.diff(self.starts)

    def where(self, chosen: NDArray[np.bool_]) -> Rankings:
        """The chosen decisions. Of neighbours nothing is copied."""
        decisions, rows = _run(chosen), _run(np.repeat(chosen, self.sizes))
        return Rankings(
            self.names,
            self.features[rows],
            self.labels[rows],
            self.positions[rows],
            self.popularity[rows],
            self.outcome_rate[rows],
            np.append(0, np.cumsum(self.sizes[decisions])),
            self.decided_at[decisions],
            self.earlier_events[decisions],
            None if self.propensity is None else self.propensity[rows],
        )

    def columns(self, kept: Sequence[int]) -> Rankings:
        """The same decisions with some of the features."""
        features = np.ascontiguousarray(self.features[:, list(kept)])
        return replace(self, names=[self.names[place] for place in kept], features=features)

    def has_outcome(self) -> NDArray[np.bool_]:
        """Of each decision, whether one of its items had an outcome."""
        return np.asarray(np.add.reduceat(self.labels, self.starts[:-1]) > 0)

    def judged(self) -> Rankings:
        """The decisions with an outcome: the order of the others cannot be told right from wrong."""
        return self.where(self.has_outcome())

    def between(self, since: int, until: int | None = None) -> Rankings:
        """The decisions made from `since` on and before `until` (ms)."""
        return self.where((self.decided_at >= since) & (until is None or self.decided_at < until))

    def examples(self) -> Examples:
        """What a ranker learns from."""
        return Examples(self.features, self.labels, self.sizes)


def rankings(rows: pa.Table, definitions: Definitions) -> Rankings:
    """Rows of one domain of gold.training_rows as arrays.

    Raises TrainingError when there are none, or when they were made by other definitions.
    """
    if not rows.num_rows:
        raise TrainingError("gold.training_rows has no rows of this domain: run build_training_set first")
    foreign = pc.unique(rows["definitions_hash"]).to_pylist()
    if foreign != [definitions.hash]:
        made_by = ", ".join(map(str, foreign))
        raise TrainingError(
            f"gold.training_rows was made by the feature definitions {made_by}, the domain file now gives "
            f"{definitions.hash}: run build_training_set again"
        )
    times, decisions = as_ms(rows["decided_at"]), _text_ranks(rows["decision_id"])
    positions = rows["position"].to_numpy().astype(np.int64)
    order = np.lexsort((positions, decisions, times))
    first = np.append(True, np.diff(decisions[order]) != 0)
    leading = order[first]
    return Rankings(
        definitions.names,
        _matrix(rows["features"], order),
        rows["label"].to_numpy()[order].astype(np.float32),
        positions[order],
        rows["popularity"].to_numpy()[order],
        rows["outcome_rate"].to_numpy()[order],
        np.append(np.flatnonzero(first), order.size),
        times[leading],
        rows["earlier_events"].to_numpy()[leading].astype(np.int64),
        _given(rows["propensity"], order),
    )


def _given(propensities: pa.ChunkedArray, order: NDArray[np.int64]) -> NDArray[np.float32] | None:
    if propensities.null_count == len(propensities):
        return None
    return np.asarray(propensities.to_numpy()[order], np.float32)


def _text_ranks(texts: pa.ChunkedArray) -> NDArray[np.int64]:
    """Of each text its place among the distinct ones."""
    coded = whole(texts).dictionary_encode()
    order = pc.sort_indices(coded.dictionary).to_numpy()
    ranks = np.empty(order.size, np.int64)
    ranks[order] = np.arange(order.size)
    return np.asarray(ranks[coded.indices.to_numpy()])


def _matrix(features: pa.ChunkedArray, order: NDArray[np.int64]) -> NDArray[np.float32]:
    """The rows of `features` in this order, copied once: they are by far the most of a training set."""
    places = np.empty(order.size, np.int64)
    places[order] = np.arange(order.size)
    chunks = [chunk for chunk in features.chunks if len(chunk)]
    matrix = np.empty((order.size, len(chunks[0][0])), np.float32)
    at = 0
    for chunk in chunks:
        matrix[places[at : at + len(chunk)]] = chunk.flatten().to_numpy().reshape(len(chunk), -1)
        at += len(chunk)
    return matrix


def _run(chosen: NDArray[np.bool_]) -> NDArray[np.bool_] | slice:
    """`chosen` as a slice where all of it stands side by side."""
    places = np.flatnonzero(chosen)
    if places.size and places[-1] - places[0] + 1 == places.size:
        return slice(int(places[0]), int(places[-1]) + 1)
    return chosen
