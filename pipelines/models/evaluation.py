"""How good an order is: nDCG@10 and MRR, beside simple orders, with paired intervals, per slice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.models.training_set import Rankings

Floats = NDArray[np.float64]
Scores = NDArray[np.float32] | Floats

TOP = 10
RESAMPLES = 2000
SHUFFLES = 20
SLICES: tuple[tuple[str, int, int | None], ...] = (
    ("no earlier events", 0, 0),
    ("1-2 earlier events", 1, 2),
    ("3 or more earlier events", 3, None),
)
REFERENCE = "outcome rate"
"""The baseline that a ranker is compared with: each item's outcomes per list so far, smoothed."""


@dataclass(frozen=True)
class Gain:
    """Mean nDCG@10 of a ranker minus that of the reference, over the same decisions, and its 95 %
    interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Slice:
    """Figures of the decisions whose user had so many earlier events."""

    name: str
    decisions: int
    ndcg: float
    reference: float
    gain: Gain | None


@dataclass(frozen=True)
class Evaluation:
    """Figures of a ranker on decisions with an outcome; `baselines` holds (nDCG@10, MRR) of simple orders."""

    decisions: int
    ndcg: float
    mrr: float
    baselines: dict[str, tuple[float, float]]
    gain: Gain
    slices: list[Slice]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and records of runs."""
        return asdict(self)


def evaluate(rankings: Rankings, scores: Scores, seed: int) -> Evaluation:
    """Figures of `scores` (one per row, higher first) on these decisions, each of which has an outcome."""
    ndcg, mrr = ndcg_at(rankings, scores), reciprocal_rank(rankings, scores)
    orders = baselines(rankings, seed)
    reference = ndcg_at(rankings, orders[REFERENCE][0])
    figures = {
        name: (
            float(np.mean([ndcg_at(rankings, order).mean() for order in variants])),
            float(np.mean([reciprocal_rank(rankings, order).mean() for order in variants])),
        )
        for name, variants in orders.items()
    }
    slices = [_slice(rankings, ndcg, reference, *bounds, seed=seed) for bounds in SLICES]
    gain = paired_gain(ndcg, reference, seed)
    return Evaluation(len(rankings), float(ndcg.mean()), float(mrr.mean()), figures, gain, slices)


def baselines(rankings: Rankings, seed: int) -> dict[str, list[Scores]]:
    """Scores of simple orders; the random one in several variants."""
    chance = np.random.default_rng(seed)
    return {
        "random": [chance.random(rankings.labels.size) for _ in range(SHUFFLES)],
        "shown order": [-rankings.positions.astype(np.float64)],
        "popularity": [rankings.popularity],
        REFERENCE: [rankings.outcome_rate],
    }


def ndcg_at(rankings: Rankings, scores: Scores, top: int = TOP) -> Floats:
    """nDCG@`top` of each decision with linear gains (Järvelin and Kekäläinen 2002): 0..1, 0 without any
    outcome.

    Rows of equal scores keep the order in which they were shown.
    """
    best = _discounted(rankings, _order(rankings, rankings.labels), top)
    found = _discounted(rankings, _order(rankings, scores), top)
    return np.divide(found, best, out=np.zeros_like(found), where=best > 0)


def reciprocal_rank(rankings: Rankings, scores: Scores) -> Floats:
    """1 / rank of each decision's first item with an outcome; 0 without any."""
    order = _order(rankings, scores)
    ranks = _ranks(rankings)
    inverse = np.where(rankings.labels[order] > 0, 1.0 / ranks, 0.0)
    return np.maximum.reduceat(inverse, rankings.starts[:-1])


def paired_gain(ours: Floats, theirs: Floats, seed: int, resamples: int = RESAMPLES) -> Gain:
    """Mean of `ours - theirs` with the 2.5 and 97.5 percentiles of its bootstrap: decisions drawn with
    replacement."""
    differences = ours - theirs
    chance = np.random.default_rng(seed)
    size = differences.size
    means = [differences[chance.integers(0, size, size)].mean() for _ in range(resamples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Gain(float(differences.mean()), float(low), float(high))


def _slice(
    rankings: Rankings, ndcg: Floats, reference: Floats, name: str, least: int, most: int | None, seed: int
) -> Slice:
    earlier = rankings.earlier_events
    chosen = (earlier >= least) & (earlier <= (earlier.max() if most is None else most))
    if not chosen.any():
        return Slice(name, 0, float("nan"), float("nan"), None)
    gain = paired_gain(ndcg[chosen], reference[chosen], seed)
    return Slice(name, int(chosen.sum()), float(ndcg[chosen].mean()), float(reference[chosen].mean()), gain)


def _order(rankings: Rankings, scores: Scores) -> NDArray[np.int64]:
    of_decision = np.repeat(np.arange(len(rankings)), rankings.sizes)
    return np.lexsort((rankings.positions, -np.asarray(scores, np.float64), of_decision))


def _ranks(rankings: Rankings) -> NDArray[np.int64]:
    return np.arange(1, rankings.labels.size + 1) - np.repeat(rankings.starts[:-1], rankings.sizes)


def _discounted(rankings: Rankings, order: NDArray[np.int64], top: int) -> Floats:
    ranks = _ranks(rankings)
    gains = np.where(ranks <= top, rankings.labels[order] / np.log2(ranks + 1.0), 0.0)
    return np.asarray(np.add.reduceat(gains, rankings.starts[:-1]))
