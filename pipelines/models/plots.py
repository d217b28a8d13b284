"""Pictures of a training, for people who look at a run in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipelines.models.evaluation import Evaluation, Variant

SHOWN = 30
"""Features that a picture of importances has room for."""


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


def score_histogram(scores: NDArray[np.float64]) -> Figure:
    """How the scores of an outlier model are spread over vectors that it was not trained on."""
    figure, axes = _page("Scores of the newest vectors", "score, higher is more unusual", "vectors")
    axes.hist(scores, bins=60, log=True)
    return figure


def _page(title: str, across: str, up: str, height: float = 4.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=across, ylabel=up)
    return figure, axes
