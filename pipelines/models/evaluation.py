"""How good an order is: nDCG@10 and MRR, beside simple orders, with paired intervals, per slice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
LEAST_KNOWN = "items of the fewest outcomes"
LEAST_SHARE = 0.1
"""Share of the decisions, those whose items had the fewest outcomes so far, that make the slice of rarely
chosen items."""
REFERENCE = "outcome rate"
"""The baseline that a ranker is compared with: each item's outcomes per list so far, smoothed."""


@dataclass(frozen=True)
class Gain:
    """Mean nDCG@10 of a ranker minus that of the reference, over the same decisions, and its 95 %
    interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """The gain and its interval, to four places."""
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


@dataclass(frozen=True)
class Variant:
    """One way to rank: nDCG@10, mean over the seeds, and its gain against the first way, with the same
    decisions and seeds."""

    name: str
    features: int
    ndcg: float
    gain: Gain


@dataclass(frozen=True)
class Slice:
    """Figures of some of the decisions: their user had so many earlier events, or their items the fewest
    outcomes."""

    name: str
    decisions: int
    ndcg: float
    reference: float
    gain: Gain | None


@dataclass(frozen=True)
class Evaluation:
    """Figures of a ranker on decisions with an outcome; `baselines` holds (nDCG@10, MRR) of simple orders.

    Of several trainings, which differ in their seeds, figures are means, and `seeds` holds nDCG@10 of each.
    """

    decisions: int
    ndcg: float
    mrr: float
    baselines: dict[str, tuple[float, float]]
    gain: Gain
    slices: list[Slice]
    seeds: list[float]

    @property
    def spread(self) -> float:
        """Standard deviation of nDCG@10 between seeds; 0 for one."""
        return float(np.std(self.seeds, ddof=1)) if len(self.seeds) > 1 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and records of runs."""
        return asdict(self)


def evaluate(rankings: Rankings, scores: Scores, seed: int) -> Evaluation:
    """Figures of `scores` (one per row, higher first) on these decisions, each of which has an outcome."""
    return evaluate_all(rankings, [scores], seed)


def evaluate_all(rankings: Rankings, scores: Sequence[Scores], seed: int) -> Evaluation:
    """Figures of the mean of several trainings, which have scored the same decisions."""
    found = np.array([ndcg_at(rankings, order) for order in scores])
    ndcg = found.mean(axis=0)
    mrr = np.mean([reciprocal_rank(rankings, order).mean() for order in scores])
    orders = baselines(rankings, seed)
    reference = ndcg_at(rankings, orders[REFERENCE][0])
    figures = {
        name: (
            float(np.mean([ndcg_at(rankings, order).mean() for order in variants])),
            float(np.mean([reciprocal_rank(rankings, order).mean() for order in variants])),
        )
        for name, variants in orders.items()
    }
    parts = [_slice(name, chosen, ndcg, reference, seed) for name, chosen in slices(rankings)]
    gain = paired_gain(ndcg, reference, seed)
    seeds = [float(mean) for mean in found.mean(axis=1)]
    return Evaluation(len(rankings), float(ndcg.mean()), float(mrr), figures, gain, parts, seeds)


def slices(rankings: Rankings) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Each slice's name, and which decisions are in it, by what is known of the user or of the items; a slice
    may be empty."""
    earlier = rankings.earlier_events
    for name, least, most in SLICES:
        yield name, (earlier >= least) & (earlier <= (earlier.max(initial=0) if most is None else most))
    outcomes = np.add.reduceat(rankings.popularity.astype(np.float64), rankings.starts[:-1]) / rankings.sizes
    yield LEAST_KNOWN, outcomes <= np.quantile(outcomes, LEAST_SHARE)


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


def _slice(name: str, chosen: NDArray[np.bool_], ndcg: Floats, reference: Floats, seed: int) -> Slice:
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
