"""Pictures of a training, for people who look at a run in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.models.calibration import Reliability
from pipelines.models.evaluation import Evaluation, Variant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 30
"""Features that a picture of importances has room for."""
EXPLAINED = 20
"""Features that a picture of what each adds has room for."""


def learning_curve(curves: Mapping[str, Sequence[float]], kept: int) -> Figure:
    """nDCG@10 by boosting round of each part, and the round at which the model was cut."""
    figure, axes = _page("Learning curve", "boosting round", "nDCG@10")
    for name, values in curves.items():
        axes.plot(range(1, len(values) + 1), values, label=name)
    axes.axvline(kept, color="grey", linestyle="--", label=f"kept: {kept} rounds")
    axes.legend()
    return figure


def importances(shares: Mapping[str, float]) -> Figure:
    """The most important features with their share of all gain."""
    top = list(shares.items())[:SHOWN][::-1]
    figure, axes = _page("Importance of features", "share of all gain", "", height=1.5 + 0.22 * len(top))
    axes.barh([name for name, _ in top], [share for _, share in top])
    return figure


def beside_baselines(evaluation: Evaluation) -> Figure:
    """nDCG@10 of the ranker and of simple orders on the same decisions."""
    figures = {name: ndcg for name, (ndcg, _) in evaluation.baselines.items()} | {"ranker": evaluation.ndcg}
    figure, axes = _page(f"nDCG@10 on {evaluation.decisions} later decisions", "nDCG@10", "", height=2.5)
    bars = axes.barh(
        list(figures), list(figures.values()), color=["silver"] * (len(figures) - 1) + ["tab:blue"]
    )
    axes.bar_label(bars, fmt="%.4f", padding=3)
    axes.set_xlim(0, max(figures.values()) * 1.15)
    return figure


def freshness(variants: Sequence[Variant], reference: float) -> Figure:
    """nDCG@10 of the same ranker by how late it learns of its users, and of the outcome rate."""
    figure, axes = _page("Fresh and stale features", "nDCG@10", "", height=1.5 + 0.35 * len(variants))
    bars = axes.barh([each.name for each in variants][::-1], [each.ndcg for each in variants][::-1])
    axes.bar_label(bars, fmt="%.4f", padding=3)
    axes.axvline(reference, color="grey", linestyle="--", label=f"outcome rate {reference:.4f}")
    low = min(reference, *(each.ndcg for each in variants))
    axes.set_xlim(max(0.0, low - 0.03), max(each.ndcg for each in variants) + 0.02)
    axes.legend(loc="lower right")
    return figure


def slices(evaluation: Evaluation) -> Figure:
    """Gain over the outcome rate in each slice of the decisions, with its 95 % interval."""
    found = [(part, part.gain) for part in evaluation.slices if part.gain][::-1]
    figure, axes = _page("Gain over the outcome rate", "nDCG@10", "", height=1.5 + 0.4 * len(found))
    means = [gain.mean for _, gain in found]
    reach = [[g.mean - g.low for _, g in found], [g.high - g.mean for _, g in found]]
    axes.errorbar(means, [f"{p.name} ({p.decisions})" for p, _ in found], xerr=reach, fmt="o", capsize=4)
    axes.axvline(0, color="grey", linestyle="--")
    axes.margins(y=0.3)
    return figure


def reliability(met: Reliability) -> Figure:
    """How often outcomes happen where a chance is foretold: on the diagonal where the chance is right."""
    figure, axes = _page(
        f"Chances of an outcome on {int(met.rows.sum())} later items: off by {met.error:.4f} on average",
        "foretold",
        "happened",
        height=5.0,
    )
    end = float(max(met.foretold.max(), met.happened.max())) or 1.0
    axes.plot([0, end], [0, end], color="grey", linestyle="--", label="right")
    axes.plot(met.foretold, met.happened, marker="o", label="tenths of the items")
    axes.legend()
    return figure


def what_features_add(
    names: Sequence[str], features: NDArray[np.float32], added: NDArray[np.float32]
) -> Figure:
    """SHAP summary: of the features that move scores most, what each adds to each row, coloured by how high
    the feature's value is there; grey where it is missing."""
    weight = np.abs(added[:, : len(names)]).mean(axis=0)
    top = np.argsort(-weight, kind="stable")[:EXPLAINED][::-1]
    figure, axes = _page(
        "What features add to a score", "added (SHAP value)", "", height=1.5 + 0.28 * len(top)
    )
    spread = (np.arange(len(added)) * 0.618 % 1 - 0.5) * 0.6  # rows lie apart, the same in each picture
    for line, feature in enumerate(top):
        values, height = features[:, feature], line + spread
        known = ~np.isnan(values)
        rank = np.argsort(np.argsort(values[known], kind="stable"), kind="stable") / max(known.sum() - 1, 1)
        axes.scatter(added[~known, feature], height[~known], s=4, color="silver")
        axes.scatter(added[known, feature], height[known], s=4, c=rank, cmap="coolwarm", vmin=0, vmax=1)
    axes.set_yticks(range(len(top)), [names[feature] for feature in top])
    axes.axvline(0, color="grey", linewidth=0.8)
    return figure


def score_histogram(scores: NDArray[np.float64]) -> Figure:
    """How the scores of an outlier model are spread over vectors that it was not trained on."""
    figure, axes = _page("Scores of the newest vectors", "score, higher is more unusual", "vectors")
    axes.hist(scores, bins=60, log=True)
    return figure


def _page(title: str, across: str, up: str, height: float = 4.0) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # takes a second to import, and most who import this draw nothing

    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=across, ylabel=up)
    return figure, axes
