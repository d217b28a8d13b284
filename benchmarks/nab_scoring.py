"""The scoring rules of the Numenta Anomaly Benchmark, from its paper: Lavin and Ahmad, Evaluating Real-time
Anomaly Detection Algorithms, 2015 (arXiv 1510.03336), section III, and the profiles of its version 1.1.

A detection in a labelled window earns what its place there is worth, the first of a window alone; one outside
costs up to 1, the less the nearer it follows a window; a window without detection costs 1. The first rows of
a series, 15 % of it and 750 at most, count for nothing. 100 is the perfect detector, 0 the silent one.
"""

from __future__ import annotations

import csv
import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PROBATION, MOST_PROBATION = 0.15, 750
AFTER = 3.0
"""Lengths of a window behind it from which on a detection costs all of 1."""


@dataclass(frozen=True)
class Profile:
    """What a true positive earns, a false positive and a missed window cost."""

    name: str
    true_positive: float
    false_positive: float
    missed: float


PROFILES = (
    Profile("standard", 1.0, 0.11, 1.0),
    Profile("reward low FP rate", 1.0, 0.22, 1.0),
    Profile("reward low FN rate", 1.0, 0.11, 2.0),
)


@dataclass(frozen=True)
class Series:
    """A metric of a NAB-shaped folder: `<category>/<file>`, its rows, and its labelled windows as (first,
    last) row."""

    name: str
    times: NDArray[np.datetime64]
    values: Floats
    windows: tuple[tuple[int, int], ...]

    @property
    def category(self) -> str:
        """The folder it is in."""
        return self.name.partition("/")[0]


def read_folder(data: Path, labels: Path) -> list[Series]:
    """The series of a folder that the labels name; those that are not there are left out."""
    known: Mapping[str, list[list[str]]] = json.loads(labels.read_text())
    if any(isinstance(window, str) for windows in known.values() for window in windows):
        raise SystemExit(f"{labels} has points in time; the windows are in combined_windows.json")
    if not any((data / name).is_file() for name in known) and (data / "data").is_dir():
        data = data / "data"
    found = []
    for path in sorted(data.rglob("*.csv")):
        name = path.relative_to(data).as_posix()
        if name in known:
            found.append(read_series(path, name, known[name]))
    return found


def read_series(path: Path, name: str, windows: Iterable[Sequence[str]]) -> Series:
    """One file: columns timestamp, value."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    times = np.array([_time(row["timestamp"]) for row in rows], "datetime64[us]")
    values = np.array([float(row["value"]) for row in rows])
    spans = []
    for first, last in windows:
        begin = int(np.searchsorted(times, _time(first)))
        spans.append((begin, int(np.searchsorted(times, _time(last), side="right")) - 1))
    return Series(name, times, values, tuple(spans))


def _time(text: str) -> np.datetime64:
    return np.datetime64(datetime.datetime.fromisoformat(text), "us")


def probation(rows: int) -> int:
    """Rows at the start of a series that count for nothing."""
    return min(int(PROBATION * rows), MOST_PROBATION)


def worth(place: Floats) -> Floats:
    """2 / (1 + exp(5 y)) - 1 of a place y: -1 the first row of a window, 0 its end, 1 a window's length
    behind it."""
    return np.where(place > AFTER, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(place, AFTER + 1))) - 1.0)


def row_worths(series: Series) -> tuple[Floats, NDArray[np.int64]]:
    """Of each row what a detection there is worth, before weights, and the number of its window, -1 outside;
    -2 in the probation."""
    rows = np.arange(len(series.values))
    place = np.full(len(rows), np.inf)
    window = np.full(len(rows), -1)
    for number, (first, last) in enumerate(series.windows):
        behind = rows > last
        place[behind] = (rows[behind] - last) / max(last - first, 1)
        inside = (rows >= first) & (rows <= last)
        place[inside] = -(last - rows[inside] + 1) / (last - first + 1)
        window[inside] = number
    window[: probation(len(rows))] = -2
    return worth(place), window


@dataclass(frozen=True)
class Sweep:
    """A profile's raw score of each threshold, from the highest down; row 0 is that of no detection."""

    thresholds: Floats
    scores: Floats

    def best(self) -> tuple[float, float]:
        """(threshold, raw score) of the best threshold."""
        at = int(np.argmax(self.scores))
        return float(self.thresholds[at]), float(self.scores[at])

    def at(self, threshold: float) -> float:
        """Raw score with a detection wherever the anomaly score is at least `threshold`."""
        return float(self.scores[np.searchsorted(-self.thresholds, -threshold, side="right") - 1])


def sweep(corpus: Sequence[Series], scores: Sequence[Floats], profile: Profile) -> Sweep:
    """Every threshold, one for all series."""
    gains, anomaly, windows, offset = [], [], [], 0
    for series, own in zip(corpus, scores, strict=True):
        worths, window = row_worths(series)
        counted = window >= -1
        inside = window[counted] >= 0
        gain = worths[counted] * np.where(
            inside, profile.true_positive / float(worth(np.array(-1.0))), profile.false_positive
        )
        gains.append(gain)
        anomaly.append(np.asarray(own)[counted])
        windows.append(np.where(inside, window[counted] + offset, -1))
        offset += len(series.windows)
    gain, score, window = np.concatenate(gains), np.concatenate(anomaly), np.concatenate(windows)
    order = np.argsort(-score, kind="stable")
    gain, score, window = gain[order], score[order], window[order]
    best = np.full(offset, -profile.missed)
    for row in np.flatnonzero(window >= 0):
        earned = max(0.0, gain[row] - best[window[row]])
        best[window[row]] += earned
        gain[row] = earned
    ends = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    silent = -profile.missed * offset
    return Sweep(np.append(np.inf, score[ends]), np.append(silent, silent + np.cumsum(gain)[ends]))


def normalised(raw: float, corpus: Sequence[Series], profile: Profile) -> float:
    """100 for every window detected at its first row and nothing else, 0 for no detection; NaN where there is
    no window."""
    windows = sum(len(series.windows) for series in corpus)
    if not windows:
        return float("nan")
    silent, perfect = -profile.missed * windows, profile.true_positive * windows
    return 100.0 * (raw - silent) / (perfect - silent)
