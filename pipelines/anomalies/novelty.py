"""The watch of a number of any kind: a temperature, a load, mentions, a price. Nothing but its past is known.

Each row is asked five things: how far is its value from the values there have been, from those at that time
of day, are its last two and its last five values together like any before, and is the mean of the last 36
another than that of the 432 before them? A distance is that to the third nearest neighbour in all that is
remembered, so that what has come three times is no longer new. Each answer becomes the -log10 of its tail
probability among the same answers to all earlier rows: empirical up to their 90 % quantile, beyond it a
Pareto tail with the mean log excess (Hill's estimate). What is above 1 is added up over the five, weighted. A
row is news when its sum is higher than those of the rows before it, which fade within `rest` rows: one
disturbance, one alert.
"""

from __future__ import annotations

import datetime
import io
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.anomalies.machine import compiled
from pipelines.errors import WatchError

QUESTIONS = ("value", "value at this time of day", "pair", "five", "level")
WEIGHTS = np.array([0.75, 1.0, 0.75, 1.0, 1.0])
"""Of the answers: where a value never was, so never was its pair."""
PATTERNS = (1, 0, 2, 5)
"""Rows of the pattern behind each question about a neighbour; 0 for the one about the time of day."""
NEIGHBOUR, SAME_TIME_S, DAY_S = 3, 1_800, 86_400
FEWEST_AT_TIME, SHORT, LONG = 5, 36, 432
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NoveltyConfig:
    """How a number is watched; counted in rows."""

    warm_up: int = 100  # answers that are known before one is judged
    rest: int = 200  # after so many rows nothing is left of an earlier disturbance
    threshold: float = 3.5  # sum from which a row alerts
    memory: int = 30_000  # rows that are remembered; the oldest third is then forgotten

    def __post_init__(self) -> None:
        """Raises WatchError for what cannot be."""
        if min(self.warm_up, self.rest) < 1 or self.memory < 3 * (SHORT + LONG) or not self.threshold > 0:
            raise WatchError(f"a novelty watch cannot have {self}")


@dataclass(frozen=True)
class Novelty:
    """How new a row is. `p`: share of the rows so far, with this one, whose sum is at least as high."""

    score: float  # the sum if the row is news, 0 otherwise
    evidence: float  # the sum
    p: float
    alert: bool
    reason: str = ""  # the question whose answer is the most unusual; why a row is not judged
    answers: tuple[float, ...] = ()  # of QUESTIONS, -log10 of tail probabilities


@compiled
def _place(ordered, n, x):  # type: ignore[no-untyped-def]
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _insert(ordered, n, x):  # type: ignore[no-untyped-def]
    at = _place(ordered, n, x)
    for j in range(n, at, -1):
        ordered[j] = ordered[j - 1]
    ordered[at] = x


@compiled
def _unusual(ordered, n, x):  # type: ignore[no-untyped-def]
    """-log10 of the tail probability of x beside n ordered numbers."""
    at, ninth = _place(ordered, n, x), int(0.9 * n)
    least = ordered[ninth]
    if at <= ninth or least <= 0.0:
        return -math.log10((n - at + 1) / (n + 1))
    excess = 0.0
    for j in range(ninth, n):
        excess += math.log(ordered[j] / least)
    return 1.0 + math.log(x / least) / (excess / (n - ninth) + 1e-9) / math.log(10.0)


@compiled
def _nearest(values, times, n, length, found):  # type: ignore[no-untyped-def]
    """Distance of the last `length` of n values from the third nearest earlier pattern; length 0: of the last
    value from those near its time of day. NaN where there are too few."""
    found[:] = np.inf
    dims, seen = max(length, 1), 0
    for u in range(dims - 1, n - dims - (1 if length > 1 else 0)):
        if length == 0:
            apart = abs(times[n - 1] - times[u])
            if min(apart, DAY_S - apart) > SAME_TIME_S:
                continue
        distance = 0.0
        for j in range(dims):
            distance += (values[n - 1 - j] - values[u - j]) ** 2
            if distance > found[-1]:
                break
        seen += 1
        if distance < found[-1]:
            at = len(found) - 1
            while at > 0 and found[at - 1] > distance:
                found[at] = found[at - 1]
                at -= 1
            found[at] = distance
    return math.sqrt(found[-1]) if seen >= (FEWEST_AT_TIME if length == 0 else len(found)) else math.nan


@compiled
def _observe(values, times, n, distances, ordered, filled, warm_up, answers):  # type: ignore[no-untyped-def]
    """Fill `answers` for the last of n rows, and remember its distances."""
    found = np.empty(NEIGHBOUR)
    for q in range(len(filled)):
        distance = math.nan
        if q < len(PATTERNS):
            distance = _nearest(values, times, n, PATTERNS[q], found)
        elif n >= SHORT + LONG:
            before = np.mean(values[n - SHORT - LONG : n - SHORT])
            distance = abs(np.mean(values[n - SHORT : n]) - before)
        answers[q] = 0.0
        distances[q, n - 1] = distance
        if not math.isnan(distance):
            if filled[q] >= warm_up:
                answers[q] = _unusual(ordered[q], filled[q], distance)
            _insert(ordered[q], filled[q], distance)
            filled[q] += 1


@compiled
def is_higher(past, evidence, rest):  # type: ignore[no-untyped-def]
    """Whether a sum is higher than those before it, which fade to nothing within `rest` rows."""
    for back in range(1, min(rest, len(past) + 1)):
        if past[-back] * (1.0 - back / rest) >= evidence:
            return False
    return evidence > 0.0


class NoveltyWatch:
    """The watch of one number; rows come in the order of time, at whatever pace."""

    def __init__(self, config: NoveltyConfig | None = None) -> None:
        self.config = config or NoveltyConfig()
        rows, questions = self.config.memory, len(QUESTIONS)
        self._values, self._times = np.zeros(rows), np.zeros(rows)
        self._sums = np.zeros(rows)
        self._distances = np.full((questions, rows), np.nan)
        self._ordered, self._filled = np.zeros((questions, rows)), np.zeros(questions, np.int64)
        self._rows = 0

    def update(self, time: datetime.datetime | np.datetime64, value: float) -> Novelty:
        """Judge a row, then remember it. A NaN is not judged. Raises WatchError for an infinite value."""
        if math.isinf(value):
            raise WatchError(f"a value cannot be {value}")
        if math.isnan(value):
            return Novelty(math.nan, math.nan, math.nan, False, "no value")
        if self._rows == self.config.memory:
            self._forget()
        n, answers = self._rows, np.zeros(len(QUESTIONS))
        self._values[n], self._times[n] = value, _second_of_day(time)
        _observe(
            self._values,
            self._times,
            n + 1,
            self._distances,
            self._ordered,
            self._filled,
            self.config.warm_up,
            answers,
        )
        evidence = float((np.maximum(answers - 1.0, 0.0) * WEIGHTS).sum())
        past = self._sums[:n]
        is_news = bool(is_higher(past, evidence, self.config.rest))
        p = float((1 + (past >= evidence).sum()) / (n + 1))
        self._sums[n] = evidence
        self._rows += 1
        score = evidence if is_news else 0.0
        why = QUESTIONS[int(answers.argmax())] if evidence > 0 else ""
        return Novelty(score, evidence, p, score >= self.config.threshold, why, tuple(answers.tolist()))

    def run(self, times: Sequence[datetime.datetime] | NDArray[np.datetime64], values: ArrayLike) -> Floats:
        """Scores of rows, one after the other."""
        pairs = zip(times, np.asarray(values, np.float64), strict=True)
        return np.array([self.update(time, float(value)).score for time, value in pairs])

    def save(self) -> bytes:
        """All that is remembered; `load` goes on from it as if nothing had happened."""
        content, n = io.BytesIO(), self._rows
        kept = (self._values[:n], self._times[:n], self._sums[:n], self._distances[:, :n])
        for part in (np.array(astuple(self.config)), *kept):
            np.lib.format.write_array(content, np.ascontiguousarray(part), allow_pickle=False)
        return content.getvalue()

    @classmethod
    def load(cls, content: bytes, config: NoveltyConfig | None = None) -> Self:
        """The watch that `save` told. Raises WatchError when it had another configuration, or `content` is
        damaged."""
        watch, source = cls(config), io.BytesIO(content)
        try:
            had, *kept = (np.lib.format.read_array(source, allow_pickle=False) for _ in range(5))
        except (ValueError, EOFError, SyntaxError) as problem:
            raise WatchError(f"the kept state of the watch is damaged: {problem}") from None
        if not np.array_equal(had, np.array(astuple(watch.config))):
            raise WatchError("the kept state of the watch has another configuration: start anew")
        watch._remember(*kept)
        return watch

    def _remember(self, values: Floats, times: Floats, sums: Floats, distances: Floats) -> None:
        n = self._rows = len(values)
        self._values[:n], self._times[:n], self._sums[:n] = values, times, sums
        self._distances[:, :n] = distances
        for q, own in enumerate(distances):
            known = np.sort(own[~np.isnan(own)])
            self._ordered[q, : len(known)], self._filled[q] = known, len(known)

    def _forget(self) -> None:
        first = self.config.memory // 3
        kept = [part[..., first:].copy() for part in (self._values, self._times, self._sums, self._distances)]
        self._remember(*kept)


def _second_of_day(time: datetime.datetime | np.datetime64) -> float:
    if isinstance(time, np.datetime64):
        return float(time.astype("datetime64[s]").astype(np.int64) % DAY_S)
    when = time.astimezone(datetime.UTC) if time.tzinfo else time
    return float(when.hour * 3600 + when.minute * 60 + when.second)
