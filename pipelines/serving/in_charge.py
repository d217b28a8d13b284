"""The model version that ranks: checked against XGBoost itself before it may."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ModelError
from pipelines.models.package import Ranker

log = logging.getLogger("lakepulse")
GOLDEN_ROWS = 512
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class InCharge:
    """A version of a ranker, ready: `score` gives one float32 for each row of features."""

    name: str
    version: str
    ranker: Ranker
    score: Callable[[Floats], Floats]
    is_exact: bool


def in_charge(name: str, version: str, ranker: Ranker) -> InCharge:
    """The version with the fastest scoring that gives XGBoost's own bits on the golden rows.

    Raises ModelError for scores that are no numbers.
    """
    golden = golden_rows(ranker)
    exact = np.array_equal(ranker.score(golden), by_xgboost(ranker, golden))
    if not exact:
        log.warning(
            "version %s of %s: our trees do not give XGBoost's bits on the golden rows; XGBoost itself "
            "scores, with one thread, and that is slower",
            version,
            name,
        )
    return InCharge(name, version, ranker, ranker.score if exact else _slow(ranker), exact)


def golden_rows(ranker: Ranker) -> Floats:
    """The example rows of the package, and rows that try what trees can get wrong: thresholds themselves,
    their neighbours, missing values, zeros of both signs, infinities. The same for the same ranker."""
    forest, chance = ranker.forest, np.random.default_rng(7)
    cuts = forest.nodes["threshold"][np.isfinite(forest.nodes["threshold"])]
    odd = np.array([np.nan, 0.0, -0.0, np.inf, -np.inf], np.float32)
    around = [cuts, -cuts, np.nextafter(cuts, np.float32(np.inf)), np.nextafter(cuts, np.float32(-np.inf))]
    values = np.concatenate([*around, odd]).astype(np.float32)
    made = chance.choice(values, size=(GOLDEN_ROWS, forest.width))
    made[chance.random(made.shape) < 0.1] = np.nan
    return np.ascontiguousarray(np.vstack([ranker.example, made]), np.float32)


def by_xgboost(ranker: Ranker, rows: Floats) -> Floats:
    """XGBoost's own margins, with one thread."""
    return np.asarray(ranker.booster.inplace_predict(rows, predict_type="margin"), np.float32)


def _slow(ranker: Ranker) -> Callable[[Floats], Floats]:
    ranker.booster.set_param({"nthread": 1})

    def score(rows: Floats) -> Floats:
        scores = by_xgboost(ranker, rows)
        if not np.isfinite(scores).all():
            raise ModelError("the model gives scores that are not numbers: promote another version")
        return scores

    return score
