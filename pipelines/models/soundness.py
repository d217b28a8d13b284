"""Checks of the gate that do not ask whether a ranker is better, but whether it can be relied on: that it
belongs to the features of now, foretells outcomes as often as they happen, is fast enough, and that the
features are still those that it has learnt from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.models import calibration
from pipelines.models.checks import FEWEST, Check, check, not_judged
from pipelines.models.package import Ranker
from pipelines.models.ranker import importances
from pipelines.models.stability import stability_indices
from pipelines.models.training_set import Rankings
from pipelines.sections import Gate

CANDIDATES, REPEATS = 100, 51
SHOWN = 3
"""Features that a check names."""


def definitions_check(ranker: Ranker, definitions_hash: str) -> Check:
    """Whether the ranker was trained on the features that the domain file declares now."""
    same = ranker.definitions_hash == definitions_hash
    told = f"trained on features {ranker.definitions_hash}, as the domain file declares them"
    if not same:
        told = (
            f"trained on features {ranker.definitions_hash}, the domain file now declares "
            f"{definitions_hash}: train again, or use the domain file that it was trained with"
        )
    return check("definitions", same, told)


def vectors_check(ranker: Ranker, made_with: str | None) -> Check:
    """Whether the ranker carries the vectors that the training rows of now were made with."""
    carried = ranker.vectors.version if ranker.vectors else None
    same = carried == made_with
    told = (
        f"carries the vectors {carried}, gold.training_rows was made with {made_with}: train again"
        if not same
        else f"carries the vectors {carried} of gold.training_rows"
        if carried
        else "its features need no vectors"
    )
    return check("vectors", same, told)


def calibration_check(ranker: Ranker, later: Rankings, gate: Gate, seed: int) -> Check:
    """Whether, over all decisions of `later`, outcomes are about as frequent as foretold: the calibration
    error as a share of the outcome rate."""
    if ranker.calibrator is None:
        told = "its package has no calibration, so nobody knows what chance a score stands for: train again"
        return check("calibration", False, told)
    if len(later) < FEWEST:
        return not_judged("calibration", f"{len(later)} decisions are too few to judge chances by")
    chances = ranker.chance(ranker.score(later.features))
    met = calibration.reliability(chances, later.labels > 0)
    share = met.error / met.rate if met.rate else 0.0 if met.error == 0 else float("inf")
    told = (
        f"chances of an outcome are off by {met.error:.4f} on average, {share:.1%} of the outcome rate "
        f"{met.rate:.4f} of {later.labels.size:,} items shown"
    )
    limit = f"{gate.max_calibration_error:.0%}"
    if share <= gate.max_calibration_error:
        return check("calibration", True, f"{told}: at most {limit}", share, gate.max_calibration_error)
    by_chance = calibration.error_by_chance(chances, seed)
    if met.error <= by_chance:
        told = f"{told}: above {limit}, but so few items leave {by_chance:.4f} to chance"
        return check("calibration", True, told, share, gate.max_calibration_error)
    told = f"{told}: more than {limit}; train again on newer decisions"
    return check("calibration", False, told, share, gate.max_calibration_error)


def latency_check(ranker: Ranker, decisions: Rankings, gate: Gate, now_ns: Callable[[], int]) -> Check:
    """Whether the trees score 100 candidates within the budget: the median of repeated runs on one thread.
    `now_ns` is a clock in nanoseconds."""
    rows = np.ascontiguousarray(np.resize(decisions.features, (CANDIDATES, len(ranker.names))))
    ranker.score(rows)  # the first call of a process compiles
    took = []
    for _ in range(REPEATS):
        began = now_ns()
        ranker.score(rows)
        took.append(now_ns() - began)
    micros = float(np.median(took)) / 1000
    fits = micros <= gate.max_latency_us
    told = (
        f"{CANDIDATES} candidates take {micros:.0f} µs of one core, {'at most' if fits else 'more than'} "
        f"{gate.max_latency_us:g}{'' if fits else ': train with fewer rounds or less depth'}"
    )
    return check("latency", fits, told, micros, gate.max_latency_us)


def stability_check(ranker: Ranker, earlier: Rankings, later: Rankings, gate: Gate) -> Check:
    """Whether the features that the ranker goes by are still spread as when it learnt: the share of its
    importance that rests on features whose stability index is above `gate.max_psi`."""
    shares = importances(ranker.booster)
    moved = dict(zip(ranker.names, stability_indices(earlier.features, later.features).tolist(), strict=True))
    shifted = {name: moved[name] for name, share in shares.items() if share and moved[name] > gate.max_psi}
    weight = sum(shares[name] for name in shifted)
    holds = weight <= gate.max_shifted
    told = (
        f"{weight:.1%} of what the ranker goes by has shifted (a stability index above {gate.max_psi:g}), "
        f"{'at most' if holds else 'more than'} {gate.max_shifted:.0%}"
    )
    most = sorted(shifted, key=lambda name: -shares[name] * shifted[name])[:SHOWN]
    if most:
        told += ": " + ", ".join(f"{name} {shifted[name]:.2f}" for name in most)
    if not holds:
        told += "; look for a source that changed or broke, otherwise train on newer decisions"
    return check("stability", holds, told, weight, gate.max_shifted)
