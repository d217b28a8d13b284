"""The ranker: boosted trees over decisions, trained in this process; `spark_ranker` trains the same on a
cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from pipelines.errors import SettingsError, TrainingError, nearest
from pipelines.sections import OBJECTIVES, Training

METRIC = "ndcg@10"
CURVE_DECISIONS = 2000
"""Decisions of the training part, its latest, on which its learning curve is measured: to judge all of them
after each round would take a tenth of the training."""


@dataclass(frozen=True)
class Examples:
    """Rows to learn from: `features` float32[n, f] (NaN = missing), `labels` float32[n] (gains, 0 = no
    outcome) and `sizes` int[d], the number of rows of each decision; a decision's rows stand side by side."""

    features: NDArray[np.float32]
    labels: NDArray[np.float32]
    sizes: NDArray[np.int64]

    def check(self, what: str) -> None:
        """Raise TrainingError, which begins with `what`, for rows that cannot train or judge a ranker."""
        rows = int(self.sizes.sum())
        if self.features.ndim != 2 or len(self.features) != rows or len(self.labels) != rows:
            raise TrainingError(
                f"{what}: features of shape {self.features.shape}, {len(self.labels)} labels and decisions "
                f"of {rows} rows in all do not belong together"
            )
        if not len(self.labels):
            raise TrainingError(f"{what} is empty: it needs decisions; was the training set built?")
        if np.isinf(self.features).any():
            column = int(np.flatnonzero(np.isinf(self.features).any(axis=0))[0])
            raise TrainingError(f"{what}: feature {column} is infinite in some rows; unknown values are NaN")
        if not np.isfinite(self.labels).all() or (self.labels < 0).any():
            raise TrainingError(f"{what}: a label is negative or not a number; gains are 0 or more")
        if not self.mixed().any():
            raise TrainingError(
                f"{what}: none of {len(self.sizes)} decisions has both an item with an outcome and one "
                "without, so there is no order to learn; look at outcomes.gains and outcomes.window_minutes "
                "of the domain file"
            )

    def check_known(self, names: Sequence[str], what: str) -> None:
        """Raise TrainingError, which names them, for features that no row knows."""
        unknown = np.flatnonzero(np.isnan(self.features).all(axis=0))
        if unknown.size:
            told = ", ".join(names[place] for place in unknown.tolist())
            raise TrainingError(
                f"{what}: {told} is missing in every row, so there is nothing to learn from it; supply what "
                "it is computed from, or take it out of features in the domain file"
            )

    def latest(self, decisions: int) -> Examples:
        """The last decisions."""
        sizes = self.sizes[-decisions:]
        rows = slice(len(self.labels) - int(sizes.sum()), None)
        return Examples(self.features[rows], self.labels[rows], sizes)

    def mixed(self) -> NDArray[np.bool_]:
        """Of each decision, whether its labels differ: the others say nothing about order."""
        starts = np.concatenate(([0], np.cumsum(self.sizes)[:-1]))
        return np.asarray(np.maximum.reduceat(self.labels, starts) > np.minimum.reduceat(self.labels, starts))


@dataclass(frozen=True)
class Trained:
    """A ranker with the rounds that it keeps; `curves`: nDCG@10 after each round on `train` (its latest
    decisions) and, where a part was kept back to stop it, `validation`. `earlier` is the one that had not yet
    learnt from that part, where this one has."""

    booster: xgboost.Booster
    curves: Mapping[str, list[float]]
    earlier: xgboost.Booster | None = None

    @property
    def rounds(self) -> int:
        """Boosting rounds kept."""
        return self.booster.num_boosted_rounds()


def parameters(training: Training) -> dict[str, Any]:
    """XGBoost's parameters for these settings, the same in one process and on Spark.

    Raises SettingsError for an unknown objective.
    """
    if training.objective not in OBJECTIVES:
        hint = nearest(training.objective, OBJECTIVES)
        known = ", ".join(OBJECTIVES)
        raise SettingsError(f"training.objective is {training.objective!r}{hint}; known: {known}")
    return {
        "objective": training.objective,
        "eval_metric": METRIC,
        "ndcg_exp_gain": False,  # labels are the domain's gains already
        "tree_method": "hist",
        "max_bin": training.bins,
        "learning_rate": training.learning_rate,
        "max_depth": training.depth,
        "min_child_weight": training.min_child_weight,
        "reg_lambda": training.l2,
        "subsample": training.row_share,
        "colsample_bytree": training.feature_share,
        "seed": training.seed,
    }


def train(
    examples: Examples,
    validation: Examples,
    names: list[str],
    training: Training,
    callbacks: Sequence[xgboost.callback.TrainingCallback] = (),
) -> Trained:
    """A ranker of these features, stopped on `validation` unless `training.early_stopping` is 0. Same rows
    and settings, same model, byte for byte.

    `callbacks` see each round and may end the training. Raises TrainingError for rows that cannot be learnt
    from.
    """
    examples.check("the training part")
    validation.check("the validation part")
    for part in (examples, validation):
        if part.features.shape[1] != len(names):
            raise TrainingError(
                f"rows have {part.features.shape[1]} features, but {len(names)} are named: "
                "build the training set again"
            )
    examples.check_known(names, "the training part")
    shared = {"feature_names": names, "max_bin": training.bins, "nthread": training.threads}
    binned = xgboost.QuantileDMatrix(examples.features, **_targets(examples, training), **shared)
    judged = xgboost.QuantileDMatrix(
        validation.features, **_targets(validation, training), **shared, ref=binned
    )
    latest = examples.latest(CURVE_DECISIONS)
    learnt = xgboost.QuantileDMatrix(latest.features, **_targets(latest, training), **shared, ref=binned)
    curves: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        parameters(training) | {"nthread": training.threads},
        binned,
        num_boost_round=training.rounds,
        evals=[(learnt, "train"), (judged, "validation")],
        early_stopping_rounds=training.early_stopping or None,
        evals_result=curves,
        verbose_eval=False,
        callbacks=list(callbacks),
    )
    return Trained(best(booster, names), {part: list(curves[part][METRIC]) for part in curves})


def refit(examples: Examples, names: list[str], training: Training, rounds: int) -> Trained:
    """A ranker of so many rounds, without a part that could stop it: for when an earlier training has told
    how many are best. Raises TrainingError like `train`."""
    examples.check("the training part")
    examples.check_known(names, "the training part")
    shared = {"feature_names": names, "max_bin": training.bins, "nthread": training.threads}
    binned = xgboost.QuantileDMatrix(examples.features, **_targets(examples, training), **shared)
    latest = examples.latest(CURVE_DECISIONS)
    learnt = xgboost.QuantileDMatrix(latest.features, **_targets(latest, training), **shared, ref=binned)
    curves: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        parameters(training) | {"nthread": training.threads},
        binned,
        num_boost_round=rounds,
        evals=[(learnt, "train")],
        evals_result=curves,
        verbose_eval=False,
    )
    return Trained(_bare(booster, names), {part: list(curves[part][METRIC]) for part in curves})


def best(booster: xgboost.Booster, names: list[str]) -> xgboost.Booster:
    """The booster with its rounds up to the best one (all, when nothing stopped it), its features named, and
    nothing of the run that made it."""
    stopped = booster.attr("best_iteration")
    return _bare(booster if stopped is None else booster[: int(stopped) + 1], names)


def _bare(booster: xgboost.Booster, names: list[str]) -> xgboost.Booster:
    booster.set_attr(**dict.fromkeys(booster.attributes(), None))
    booster.feature_names = names
    return booster


def importances(booster: xgboost.Booster) -> dict[str, float]:
    """Of each named feature its share of all gain, most important first; a feature that no tree uses has
    0."""
    gains = {
        name: float(np.sum(gain)) for name, gain in booster.get_score(importance_type="total_gain").items()
    }
    total = sum(gains.values()) or 1.0
    shares = {name: gains.get(name, 0.0) / total for name in booster.feature_names or ()}
    return dict(sorted(shares.items(), key=lambda pair: (-pair[1], pair[0])))


def _targets(examples: Examples, training: Training) -> dict[str, Any]:
    """Labels (gains for a ranking objective, outcome or none for a logistic one) and the decision of each
    row."""
    logistic = training.objective == "binary:logistic"
    labels = (examples.labels > 0).astype(np.float32) if logistic else examples.labels
    return {"label": labels, "qid": np.repeat(np.arange(len(examples.sizes)), examples.sizes)}
