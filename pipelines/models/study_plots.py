"""Pictures of a study, for people who look at its run in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState


def parameters(shares: Mapping[str, float]) -> Figure:
    """How much each setting matters for the nDCG that a trial reaches."""
    figure = Figure(figsize=(8, 1.5 + 0.3 * len(shares)), layout="constrained")
    axes = figure.subplots()
    axes.set(title="Which settings matter", xlabel="share of the difference between good and other trials")
    axes.barh(list(shares)[::-1], list(shares.values())[::-1])
    return figure


def history(trials: Sequence[FrozenTrial]) -> Figure:
    """The best nDCG@10 of each trial, in their order, and the best so far."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(title="Trials", xlabel="trial", ylabel="nDCG@10 on validation")
    for state, colour in ((TrialState.COMPLETE, "tab:blue"), (TrialState.PRUNED, "silver")):
        chosen = [(t.number, t.value) for t in trials if t.state == state and t.value is not None]
        if chosen:
            axes.scatter(*zip(*chosen, strict=True), color=colour, label=state.name.lower())
    complete = [(t.number, t.value) for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
    if complete:
        numbers, values = zip(*complete, strict=True)
        axes.step(
            numbers, np.maximum.accumulate(values), where="post", color="tab:orange", label="best so far"
        )
        axes.legend()
    return figure
