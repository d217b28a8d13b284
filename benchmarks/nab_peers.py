"""What others reached on the Numenta Anomaly Benchmark: as published, from their published anomaly scores,
and two that are run here."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.nab_scoring import Floats, Series, probation

SOURCE = "scoreboard of NAB 1.1 (README of numenta/NAB), all 58 series"
PUBLISHED: dict[str, tuple[float, float, float]] = {
    "ARTime": (74.9, 65.1, 80.4),
    "Numenta HTM": (70.5, 62.6, 75.2),
    "CAD OSE": (69.9, 67.0, 73.2),
    "earthgecko Skyline": (58.2, 46.2, 63.9),
    "KNN-CAD": (58.0, 43.4, 64.8),
    "relative entropy": (54.6, 47.6, 58.8),
    "random cut forest": (51.7, 38.4, 59.7),
    "Twitter ADVec": (47.1, 33.6, 53.5),
    "windowed Gaussian": (39.6, 20.9, 47.4),
    "Etsy Skyline": (35.7, 27.1, 44.5),
    "random": (11.0, 1.2, 19.5),
    "null": (0.0, 0.0, 0.0),
}
FOLDERS = {
    "ARTime": "ARTime",
    "Numenta HTM": "numenta",
    "CAD OSE": "contextOSE",
    "earthgecko Skyline": "earthgeckoSkyline",
    "KNN-CAD": "knncad",
    "relative entropy": "relativeEntropy",
    "random cut forest": "randomCutForest",
    "Twitter ADVec": "twitterADVec",
    "windowed Gaussian": "windowedGaussian",
    "Etsy Skyline": "skyline",
    "random": "random",
    "null": "null",
}
"""Folder of each peer's anomaly scores in `results/` of numenta/NAB."""
WINDOW, STEP = 6_400, 100


def published_scores(results: Path, peer: str, corpus: Sequence[Series]) -> list[Floats] | None:
    """A peer's published anomaly scores of these series; None where one is missing."""
    name, found = FOLDERS[peer], []
    for series in corpus:
        folder, _, file = series.name.rpartition("/")
        path = results / name / folder / f"{name}_{file}"
        if not path.is_file():
            return None
        with path.open(newline="") as rows:
            found.append(np.array([float(row["anomaly_score"]) for row in csv.DictReader(rows)]))
    return found


def windowed_gaussian(series: Series) -> Floats:
    """Distance from the mean of the last 6,400 values in their standard deviations, as a probability; the
    window moves on by 100 rows once it is full (Ahmad et al. 2017, section 4.1)."""
    scores, values = np.zeros(len(series.values)), series.values
    first, count, total, squares = 0, 0, 0.0, 0.0
    for row, value in enumerate(values):
        if count:
            mean = total / count
            spread = math.sqrt(max(squares / count - mean * mean, 1e-12))
            scores[row] = 1.0 - 0.5 * math.erfc(abs(value - mean) / spread / math.sqrt(2.0))
        if row < WINDOW or (row - WINDOW) % STEP == STEP - 1:
            own = values[first : row + 1] if row < WINDOW else values[row + 1 - WINDOW : row + 1]
            count, total, squares = len(own), float(own.sum()), float((own**2).sum())
    return scores


def chance(series: Series, seed: int) -> Floats:
    """Uniform random scores."""
    return np.random.default_rng([seed, len(series.values)]).random(len(series.values))


def knn_cad(series: Series) -> Floats:
    """Conformal anomaly detection by neighbours (Burnaev and Ishimtsev, Conformalized density- and
    distance-based anomaly detection in time-series data, 2016): patterns of 19 rows, 27 neighbours,
    Mahalanobis distance, ranks among those of the calibration rows; after a rank of .9965 it says nothing for
    a fifth of the probation."""
    dims, near, silence = 19, 27, 0
    start = probation(len(series.values))
    patterns = np.lib.stride_tricks.sliding_window_view(series.values, dims)
    scores = np.zeros(len(series.values))
    first, last, known = 0, start - dims, np.empty(0)
    for row in range(start - 1, len(series.values)):
        if (row + 1) % start in (0, start // 2) or not len(known):
            space = _factor(patterns[first:last])
            projected = patterns @ space
        own = projected[row - dims + 1]
        if not len(known):
            known = np.array([_near(projected[first:last], one, near + 1) for one in projected[first:last]])
        new = _near(projected[first:last], own, near)
        rank = float(np.mean(known < new))
        if row + 1 >= 2 * start:
            first, last = first + 1, last + 1
        known = np.append(known[1:], new)
        scores[row] = rank if silence == 0 else 0.5
        silence = silence - 1 if silence else (start // 5 if rank >= 0.9965 else 0)
    return scores


def _factor(rows: Floats) -> Floats:
    """A matrix after which Euclid's distance is that by the inverse of the rows' second moments."""
    values, vectors = np.linalg.eigh(np.linalg.pinv(rows.T @ rows))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _near(rows: Floats, one: Floats, neighbours: int) -> float:
    distances = ((rows - one) ** 2).sum(axis=1)
    return float(np.partition(distances, neighbours)[:neighbours].sum())
