"""The gate: a challenger takes over only with evidence, and every verdict says why.

A ranker is accepted when there is no champion, or when its figure on the newest part of the training rows
(the part that no training has seen) is better than the champion's on the same rows by more than
`gate.min_gain`. A champion of other features or vectors cannot score those rows: then the two gains over the
outcome rate are compared, each from the model's own test part.

An outlier model has no labels to be judged by: it is accepted when of the newest vectors, which it was not
trained on, at most `gate.max_outlier_share` rank above 99 % of its training vectors, and when that share is
not further from 1 % than the champion's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import SettingsError, nearest
from pipelines.models.evaluation import Scores, ndcg_at, paired_gain, reciprocal_rank
from pipelines.models.outliers import OutlierModel
from pipelines.models.training_set import Rankings
from pipelines.sections import Gate

METRICS = {"ndcg_at_10": ndcg_at, "mrr": reciprocal_rank}
GAIN = "gain_over_outcome_rate"
RARE = 0.99


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger may take over, why, and the figures that say so."""

    accepted: bool
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)


def judge_ranker(
    rankings: Rankings, challenger: Scores, champion: Scores | None, gate: Gate, seed: int
) -> Verdict:
    """The verdict on scores of the same rows by both; `champion` is None where there is none."""
    if gate.metric not in METRICS:
        hint = nearest(gate.metric, list(METRICS))
        raise SettingsError(f"gate.metric is {gate.metric!r}{hint}; known: {', '.join(METRICS)}")
    measure = METRICS[gate.metric]
    ours = measure(rankings, challenger)
    figures = {"decisions": float(len(rankings)), "challenger": float(ours.mean())}
    if champion is None:
        return Verdict(True, f"no champion yet; {gate.metric} {ours.mean():.4f}", figures)
    theirs = measure(rankings, champion)
    gain = paired_gain(ours, theirs, seed)
    figures |= {
        "champion": float(theirs.mean()),
        "gain": gain.mean,
        "gain_low": gain.low,
        "gain_high": gain.high,
    }
    accepted = gain.mean > gate.min_gain
    reason = (
        f"{gate.metric} {ours.mean():.4f} against the champion's {theirs.mean():.4f} on the same {len(ours)} "
        f"decisions: the gain {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] "
        f"is {'' if accepted else 'not '}above {gate.min_gain:g}"
    )
    return Verdict(accepted, reason, figures)


def judge_by_own_figures(
    challenger: Mapping[str, float], champion: Mapping[str, float], gate: Gate
) -> Verdict:
    """The verdict where the champion cannot score the challenger's rows: both runs' own gains over the
    outcome rate."""
    ours, theirs = challenger.get(GAIN, float("nan")), champion.get(GAIN, float("nan"))
    accepted = ours - theirs > gate.min_gain or (math.isnan(theirs) and not math.isnan(ours))
    reason = (
        "the champion was trained on other features or vectors and cannot score these rows: "
        f"the gain over the outcome rate, {ours:+.4f} against {theirs:+.4f}, each on its own test part, "
        f"is {'' if accepted else 'not '}better by more than {gate.min_gain:g}"
    )
    return Verdict(accepted, reason, {"challenger": ours, "champion": theirs})


def judge_outliers(
    vectors: NDArray[np.float64], challenger: OutlierModel, champion: OutlierModel | None, gate: Gate
) -> Verdict:
    """The verdict on the newest vectors, which the challenger was not trained on."""
    ours = rare_share(challenger, vectors)
    figures = {"vectors": float(len(vectors)), "challenger": ours}
    found = f"{ours:.2%} of the {len(vectors)} newest vectors are among the rarest 1 %"
    if ours > gate.max_outlier_share:
        return Verdict(False, f"{found}: more than {gate.max_outlier_share:.0%}", figures)
    if champion is None:
        return Verdict(True, f"no champion yet; {found}", figures)
    theirs = rare_share(champion, vectors)
    accepted = abs(ours - (1 - RARE)) <= abs(theirs - (1 - RARE))
    reason = f"{found}, by the champion {theirs:.2%}: {'not ' if accepted else ''}further from 1 %"
    return Verdict(accepted, reason, figures | {"champion": theirs})


def rare_share(model: OutlierModel, vectors: NDArray[np.float64]) -> float:
    """Share of the vectors that rank above 99 % of the model's training vectors."""
    return float(np.mean(model.rank(model.score(vectors)) > RARE))
