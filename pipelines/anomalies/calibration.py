"""Calibrated outlier scores: how often a row that is like all others gets a score this high.

Split-conformal p-values (Vovk, Gammerman, Shafer 2005) against rows that the model was not fitted on. The
bounds that hold for one given calibration set, not only on average over all of them, are those of Bates,
Candès, Lei, Romano, Sesia: Testing for outliers with conformal p-values (Annals of Statistics 51, 2023),
section 3. Beyond the highest calibration score the tail is a generalised Pareto distribution, fitted by
probability-weighted moments (Hosking, Wallis, Technometrics 29, 1987).
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ModelError, TrainingError

Numbers = NDArray[np.float64]
MARGINAL, SIMES, ASYMPTOTIC, MONTE_CARLO = BOUNDS = ("marginal", "simes", "asymptotic", "monte_carlo")
FEWEST_FOR_LIMIT = 16
"""Calibration rows from which the iterated logarithm of the asymptotic bound is positive."""
SIMULATIONS = 1_000
MOST = 100_000
"""Calibration scores that are kept; of more a seeded choice, which is as exchangeable as all of them."""
FEWEST_IN_TAIL, FEWEST_VALUES = 30, 10
STEEPEST = 0.9
"""Shape of the heaviest tail that is fitted: from 1 on the mean, which fits it, does not exist."""


@dataclass(frozen=True)
class Tail:
    """A generalised Pareto tail above `start`, with `scale` and `shape` (0 = exponential)."""

    start: float
    scale: float
    shape: float

    def share(self, scores: Numbers) -> Numbers:
        """Of what lies above the start, the share above each score."""
        beyond = np.maximum(scores - self.start, 0.0) / self.scale
        if self.shape == 0.0:
            return np.asarray(np.exp(-beyond))
        return np.asarray((1.0 + self.shape * beyond) ** (-1.0 / self.shape))


@dataclass(frozen=True)
class Rule:
    """How scores become p-values. `bound`: marginal (right on average over calibration sets), or simes,
    asymptotic, monte_carlo (right for this set, but for a chance of `delta`). `tail_share` of the scores
    shape the tail, and it makes no p-value smaller than 1/n by more than the factor `tail_reach`."""

    bound: str = MARGINAL
    delta: float = 0.1
    tail_share: float = 0.05
    tail_reach: float = 1_000.0
    seed: int = 7

    def __post_init__(self) -> None:
        """Raises TrainingError for a rule that cannot be followed."""
        if self.bound not in BOUNDS:
            raise TrainingError(f"no bound {self.bound!r} of p-values; there are {', '.join(BOUNDS)}")
        if not (0 < self.delta < 1 and 0 <= self.tail_share < 1 and self.tail_reach >= 1):
            raise TrainingError(
                f"a calibration needs 0 < delta < 1, 0 <= tail_share < 1 and tail_reach >= 1, not {self}"
            )


@dataclass(frozen=True)
class Calibration:
    """The sorted `scores` of calibration rows, the p-value `levels` [n + 1] of a score that 0, 1, … n of
    them reach, and the tail beyond them (None where there is too little to shape one)."""

    scores: Numbers
    levels: Numbers
    rule: Rule
    tail: Tail | None

    @classmethod
    def fit(cls, scores: Numbers, rule: Rule | None = None) -> Calibration:
        """The calibration of these scores of rows that the model was not fitted on; higher is more unusual.

        Scores that are no number say nothing and are left out. Few rows give few and large p-values, never
        wrong ones: the least is 1 / (n + 1). Raises TrainingError without any row.
        """
        rule = rule or Rule()
        known = np.sort(scores[~np.isnan(scores)]).astype(np.float64)
        if not known.size:
            raise TrainingError(
                f"none of {len(scores)} calibration rows has a score: let more events come in"
            )
        if known.size > MOST:
            chosen = np.random.default_rng(rule.seed).choice(known.size, MOST, replace=False)
            known = known[np.sort(chosen)]
        return cls(known, _levels(known.size, rule), rule, _tail(known, rule.tail_share))

    def p_values(self, scores: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
        """(p-value of each score in (0, 1], whether it comes from the tail and not from counting).

        Under exchangeability with the calibration rows a p-value that was counted is at most x with a chance
        of at most x, ties included. A score that is no number gets 1. A score's p-value depends on it alone.
        """
        reached = len(self.scores) - np.searchsorted(self.scores, scores, side="left")
        p = self.levels[reached]
        highest = self.scores[-1]
        beyond = scores > highest  # NaN is not
        if self.tail is None or not np.isfinite(highest):
            return np.where(np.isnan(scores), 1.0, p), np.zeros(len(scores), bool)
        top = self.tail.share(self.scores[-1:])[0]
        extended = np.maximum(
            self.tail.share(np.where(beyond, scores, highest)) / top, 1 / self.rule.tail_reach
        )
        p = np.where(beyond, p * extended, p)
        return np.where(np.isnan(scores), 1.0, p), beyond

    def smoothed(self, scores: Numbers, rng: np.random.Generator) -> Numbers:
        """Marginal p-values with ties broken by chance: uniform on (0, 1) under exchangeability, for tests
        of that. Scores that are no number are left out."""
        known = scores[~np.isnan(scores)]
        n = len(self.scores)
        above = n - np.searchsorted(self.scores, known, side="right")
        equal = n - above - np.searchsorted(self.scores, known, side="left")
        return np.asarray((above + rng.random(len(known)) * (equal + 1)) / (n + 1))

    @functools.cached_property
    def version(self) -> str:
        """16 hex digits of what decides p-values."""
        told = hashlib.sha256(self.scores.tobytes() + self.levels.tobytes())
        told.update(repr((self.rule, self.tail)).encode())
        return told.hexdigest()[:16]

    def frozen(self) -> tuple[dict[str, Numbers], dict[str, Any]]:
        """All of it as number arrays and as JSON values, for `from_frozen`."""
        tail = None if self.tail is None else [self.tail.start, self.tail.scale, self.tail.shape]
        return {"scores": self.scores, "levels": self.levels}, {"rule": vars(self.rule), "tail": tail}

    @classmethod
    def from_frozen(cls, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> Calibration:
        """The calibration of `frozen`. Raises ModelError when its parts do not fit together."""
        try:
            scores, levels = (np.asarray(arrays[name], np.float64) for name in ("scores", "levels"))
            rule, given = Rule(**about["rule"]), about["tail"]
        except (KeyError, TypeError, TrainingError) as problem:
            raise ModelError(f"this is no calibration of outlier scores: {problem}") from None
        is_sorted = scores.ndim == 1 and scores.size > 0 and bool(np.all(np.diff(scores) >= 0))
        rises = levels.shape == (scores.size + 1,) and bool(np.all(np.diff(levels) >= 0))
        if not (is_sorted and rises and levels[0] > 0 and levels[-1] == 1.0):
            raise ModelError("the scores or levels of an outlier calibration are damaged: calibrate again")
        return cls(scores, levels, rule, None if given is None else Tail(*given))


def _levels(n: int, rule: Rule) -> Numbers:
    """p-values of a score that 0, 1, … n calibration scores reach: (j + 1) / (n + 1), or its upper bound."""
    marginal = np.arange(1, n + 2) / (n + 1)
    if rule.bound == MARGINAL:
        return np.asarray(marginal)
    if rule.bound == SIMES or n < FEWEST_FOR_LIMIT:
        bound = _simes(n, rule.delta)
    elif rule.bound == ASYMPTOTIC:
        bound = _banded(n, _limit(n, rule.delta))
    else:
        bound = _banded(n, _simulated(n, rule.delta, rule.seed))
    return np.asarray(np.maximum(np.append(bound, 1.0), marginal))


def _simes(n: int, delta: float) -> Numbers:
    """b(n + 1 - i) = 1 - delta^(1/k) (i (i-1) … (i-k+1) / (n (n-1) … (n-k+1)))^(1/k), k = n / 2 (equation 10
    of Bates and others)."""
    k = max(n // 2, 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])  # of factorials
    i = np.arange(n, 0, -1)
    falling = np.where(i >= k, logs[i] - logs[np.maximum(i - k, 0)], -np.inf)
    return np.asarray(1.0 - np.exp((math.log(delta) + falling - (logs[n] - logs[n - k])) / k))


def _banded(n: int, width: float) -> Numbers:
    """b(i) = i/n + width sqrt(i (n - i)) / n^1.5, at most 1: the shape of the asymptotic bound."""
    i = np.arange(1, n + 1)
    return np.asarray(np.minimum(i / n + width * np.sqrt(i * (n - i)) / n**1.5, 1.0))


def _limit(n: int, delta: float) -> float:
    """The width at which the band holds with a chance of 1 - delta as n grows (theorem 3 there)."""
    twice = math.log(math.log(n))
    told = -math.log(-math.log(1 - delta)) + 2 * twice + 0.5 * math.log(twice) - 0.5 * math.log(math.pi)
    return told / math.sqrt(2 * twice)


def _simulated(n: int, delta: float, seed: int) -> float:
    """The width at which the band held in 1 - delta of simulated sets of n uniform scores."""
    rng = np.random.default_rng(seed)
    i = np.arange(1, n)
    spread = np.sqrt(i * (n - i)) / n**1.5
    needed = np.empty(SIMULATIONS)
    for number in range(SIMULATIONS):
        steps = rng.standard_exponential(n + 1)  # spacings of sorted uniforms, up to their sum
        ordered = np.cumsum(steps)
        needed[number] = np.max((ordered[: n - 1] / ordered[-1] - i / n) / spread)
    return float(np.quantile(needed, 1 - delta, method="higher"))


def _tail(scores: Numbers, share: float) -> Tail | None:
    """A tail of the highest `share` of the sorted scores; None where they are few, alike or not finite.

    A tail lighter than exponential is taken for exponential: an end that no score may pass would be learnt
    from the highest score alone.
    """
    count = min(max(round(share * scores.size), FEWEST_IN_TAIL), scores.size - 1)
    if share == 0.0 or count < FEWEST_IN_TAIL or not np.isfinite(scores[-1]):
        return None
    start = scores[-count - 1]
    excess = scores[-count:] - start
    excess = excess[excess > 0]
    if np.unique(excess).size < FEWEST_VALUES:
        return None
    places = (np.arange(1, excess.size + 1) - 0.35) / excess.size
    mean, weighted = float(excess.mean()), float(np.mean((1 - places) * excess))
    shape = 2.0 - mean / (mean - 2 * weighted) if mean > 2 * weighted else STEEPEST
    shape = min(max(shape, 0.0), STEEPEST)
    return Tail(float(start), mean * (1 - shape), shape)
