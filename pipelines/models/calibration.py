"""The chance of an outcome that a ranker's score stands for, and how far chances are from what happens."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from pipelines.errors import ModelError, TrainingError

Floats = NDArray[np.float64]
Scores = NDArray[np.float32] | Floats

POOL, POOLS = 50, 200
"""Neighbouring rows of which one point of a calibration is made at least, and points at most: a chance that
rests on fewer rows would be chance itself."""
BINS = 10
RESAMPLES = 200


@dataclass(frozen=True)
class Calibrator:
    """A rising line through the points (`scores`, `chances`): straight between them, level beyond."""

    scores: Floats
    chances: Floats

    def chance(self, scores: Scores) -> Floats:
        """The chance of an outcome, 0..1, of each score. A higher score never has a lower chance."""
        return np.interp(np.asarray(scores, np.float64), self.scores, self.chances)

    def to_json(self) -> str:
        """Both lists of numbers, exactly, for `from_json`."""
        return json.dumps({"scores": self.scores.tolist(), "chances": self.chances.tolist()})


def from_json(text: str) -> Calibrator:
    """The calibrator of `Calibrator.to_json`. Raises ModelError for numbers that are no rising line of
    chances."""
    try:
        content = json.loads(text)
        scores, chances = (np.array(content[name], np.float64) for name in ("scores", "chances"))
    except (ValueError, KeyError, TypeError) as problem:
        raise ModelError(f"this is no calibration ({problem!r}): download the model again") from None
    is_line = scores.ndim == 1 and scores.shape == chances.shape and scores.size > 0
    if not is_line or not (np.isfinite(scores).all() and np.isfinite(chances).all()):
        raise ModelError("a calibration needs as many chances as scores, all of them numbers: train again")
    rises = np.all(np.diff(scores) > 0) and np.all(np.diff(chances) >= 0)
    if not (rises and chances[0] >= 0 and chances[-1] <= 1):
        raise ModelError("the chances of a calibration rise with the scores from 0 to 1: train again")
    return Calibrator(scores, chances)


def fit(scores: Scores, outcomes: NDArray[np.bool_]) -> Calibrator:
    """The calibrator that fits these rows best: isotonic regression (Zadrozny and Elkan 2002) over pools of
    rows with neighbouring scores. The rows must not have trained the model that scored them.

    Raises TrainingError for no rows.
    """
    if not len(scores):
        raise TrainingError("no decision is left to calibrate the chance of an outcome by: collect more")
    order = np.argsort(scores, kind="stable")
    starts, rows = _bins(order.size, min(max(order.size // POOL, 1), POOLS))
    known, happened = (
        np.add.reduceat(values[order].astype(np.float64), starts) / rows for values in (scores, outcomes)
    )
    found = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    found.fit(known, happened, sample_weight=rows)
    kept = np.append(True, np.diff(found.X_thresholds_) > 0)
    return Calibrator(found.X_thresholds_[kept], found.y_thresholds_[kept])


@dataclass(frozen=True)
class Reliability:
    """Rows in bins of equal size by their chance: what was foretold in each, what happened, how many rows."""

    foretold: Floats
    happened: Floats
    rows: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error, with bins of equal size (Naeini et al. 2015, Nixon et al. 2019): the
        mean distance of what was foretold from what happened."""
        return float(np.average(np.abs(self.foretold - self.happened), weights=self.rows))

    @property
    def rate(self) -> float:
        """Share of the rows with an outcome."""
        return float(np.average(self.happened, weights=self.rows))


def reliability(chances: Floats, outcomes: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """How the chances compare with the outcomes. Raises TrainingError for no rows."""
    if not len(chances):
        raise TrainingError("no decision is left to judge the chance of an outcome by: collect more")
    order = np.argsort(chances, kind="stable")
    starts, rows = _bins(chances.size, bins)
    foretold = np.add.reduceat(chances[order], starts) / rows
    return Reliability(foretold, np.add.reduceat(outcomes[order].astype(np.float64), starts) / rows, rows)


def error_by_chance(chances: Floats, seed: int, bins: int = BINS, resamples: int = RESAMPLES) -> float:
    """The calibration error that chances which are exactly right stay below 19 times of 20 on so many rows
    (consistency resampling, Bröcker and Smith 2007)."""
    ordered = np.sort(chances)
    starts, rows = _bins(chances.size, bins)
    foretold = np.add.reduceat(ordered, starts) / rows
    chance = np.random.default_rng(seed)
    errors = []
    for _ in range(resamples):
        happened = np.add.reduceat((chance.random(ordered.size) < ordered).astype(np.float64), starts) / rows
        errors.append(np.average(np.abs(foretold - happened), weights=rows))
    return float(np.percentile(errors, 95))


def _bins(size: int, bins: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and sizes of so many parts of about equal size, of which none is empty."""
    edges = np.unique(np.linspace(0, size, min(bins, size) + 1).astype(np.int64))
    return edges[:-1], np.diff(edges)
