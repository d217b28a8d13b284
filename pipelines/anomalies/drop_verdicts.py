"""What a watch says of a window of a metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.anomalies import drop_kernel as kernel
from pipelines.anomalies.drop_config import PHASES

REASONS = (
    "",
    "no value",
    "the window is not complete",
    "no exposure",
    "known event",
    "too little history",
    "too little traffic",
)
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """What a window of a metric is held to be. `low` and `high` hold 99 of 100 usual windows."""

    score: float  # -log10(p); NaN where the window is not scored
    p: float  # chance of a window so unusual in a time in which nothing is wrong
    alert: bool  # the first window of an episode with p up to the budget's threshold
    expected: float
    low: float
    high: float
    reason: str = ""  # why the window is not scored; empty where it is
    ongoing: bool = False  # an episode has begun and is not over
    direction: str = ""  # down or up: which side is unusual
    windows: int = 0  # how many latest windows, taken together, are the most unusual
    baseline: str = ""  # what was expected by: rolling, day or week
    detectable: float = (
        math.nan
    )  # least lasting drop, as a share, that alerts within half an hour with chance .9


@dataclass(frozen=True)
class Verdicts:
    """Verdicts of one window of several metrics: a column each, in the order of the metrics."""

    numbers: Numbers  # [n, 6]
    marks: NDArray[np.int64]  # [n, 6]
    known: Sequence[str]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int) -> Verdict:
        score, p, expected, low, high, least = (float(value) for value in self.numbers[i])
        alert, code, phase, windows, direction, ongoing = (int(mark) for mark in self.marks[i])
        reason = REASONS[code] + (f": {self.known[i]}" if code == kernel.KNOWN else "")
        way = ("", "up", "down")[direction]
        return Verdict(
            score,
            p,
            bool(alert),
            expected,
            low,
            high,
            reason,
            bool(ongoing),
            way,
            windows,
            PHASES[phase],
            least,
        )

    @property
    def score(self) -> Numbers:
        """As in Verdict."""
        return self.numbers[:, kernel.SCORE]

    @property
    def p(self) -> Numbers:
        """As in Verdict."""
        return self.numbers[:, kernel.P]

    @property
    def alert(self) -> NDArray[np.bool_]:
        """As in Verdict."""
        return np.asarray(self.marks[:, kernel.ALERT] == 1)

    @property
    def ongoing(self) -> NDArray[np.bool_]:
        """As in Verdict."""
        return np.asarray(self.marks[:, kernel.ONGOING] == 1)

    @property
    def expected(self) -> Numbers:
        """As in Verdict."""
        return self.numbers[:, kernel.EXPECTED]
