"""What reviews teach about the order of alerts: a small model of reviewed vectors, used only where it has
proved better than the order without it.

The model is a logistic regression with a quadratic penalty on the detectors' surprises and on the features.
It learns from earlier reviews and is judged on later ones; what it gains there has to be clear of chance. It
orders what was found and never decides what is found: p-values stay those of the outlier model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipelines.anomalies.reviews import CONFIRMED, FALSE_ALARM, verdicts
from pipelines.errors import ModelError
from pipelines.models.outlier_scale import bent
from pipelines.models.outliers import OutlierModel

Numbers = NDArray[np.float64]
Marks = NDArray[np.bool_]
FORMAT = 1
LATER = 0.4
"""Share of the reviews, the latest, that the order is judged by."""
FEWEST = 8
"""Confirmed ones, and false alarms, that the earlier and the later reviews need each."""
DRAWS = 1_000
PENALTY = 30.0
"""Weight of the quadratic penalty: what a few dozen reviews say of one feature is drawn towards nothing."""


@dataclass(frozen=True)
class Reviewed:
    """Vectors float[n, d] of incidents that somebody judged; by vector its incident's number, whether that
    was confirmed (false: a false alarm), and when."""

    vectors: Numbers
    incident: NDArray[np.int64]
    confirmed: Marks
    at_ms: NDArray[np.int64]

    def part(self, rows: Marks) -> Reviewed:
        """The vectors that `rows` marks."""
        return Reviewed(self.vectors[rows], self.incident[rows], self.confirmed[rows], self.at_ms[rows])

    @property
    def counts(self) -> tuple[int, int]:
        """How many incidents were confirmed, and how many were false alarms."""
        confirmed = len(np.unique(self.incident[self.confirmed]))
        return confirmed, len(np.unique(self.incident)) - confirmed


@dataclass(frozen=True)
class Evidence:
    """How the learnt order did on later reviews, as average precision, beside the order without it: the mean
    gain over draws of these reviews, and its 95 % interval."""

    reviews: int
    judged: int
    ours: float
    without: float
    gain: float
    low: float
    high: float
    told: str

    @property
    def is_better(self) -> bool:
        """Whether the gain is clear of chance."""
        return self.low > 0.0


@dataclass(frozen=True)
class Order:
    """A frozen regression: the log-odds that an alert is confirmed."""

    names: tuple[str, ...]  # of the outlier model's features
    detectors: tuple[str, ...]
    centre: Numbers
    spread: Numbers
    weights: Numbers
    intercept: float
    evidence: Evidence

    def scores(self, model: OutlierModel, vectors: Numbers) -> Numbers:
        """Of each vector the log-odds, higher comes first; it depends on its own vector alone. Raises
        ModelError for an outlier model of other features or detectors."""
        if (model.names, tuple(model.ensemble.members)) != (self.names, self.detectors):
            raise ModelError("the order of alerts was learnt with another outlier model: learn it again")
        out = np.empty(len(vectors))
        _log_odds(told_of(model, vectors), self.centre, self.spread, self.weights, self.intercept, out)
        return out

    def to_json(self) -> str:
        """The order as text, for `from_json`."""
        arrays = {name: getattr(self, name).tolist() for name in ("centre", "spread", "weights")}
        about = {"format": FORMAT, "names": self.names, "detectors": self.detectors}
        return json.dumps(about | arrays | {"intercept": self.intercept, "evidence": asdict(self.evidence)})

    @classmethod
    def from_json(cls, text: str) -> Order:
        """The order of `to_json`. Raises ModelError when it is damaged or of another version."""
        try:
            about = json.loads(text)
            if about["format"] != FORMAT:
                raise ModelError(
                    f"the order of alerts is of format {about['format']}, not {FORMAT}: learn it again"
                )
            arrays = [np.array(about[name], np.float64) for name in ("centre", "spread", "weights")]
            names, detectors = tuple(about["names"]), tuple(about["detectors"])
            evidence, intercept = Evidence(**about["evidence"]), float(about["intercept"])
            order = cls(names, detectors, arrays[0], arrays[1], arrays[2], intercept, evidence)
        except (ValueError, KeyError, TypeError) as problem:
            raise ModelError(f"the order of alerts is damaged: {problem}") from None
        if {a.shape for a in arrays} != {(1 + len(names) + len(detectors),)}:
            raise ModelError("the order of alerts does not fit its own features: it is damaged")
        return order


def learn(model: OutlierModel, reviewed: Reviewed) -> tuple[Order | None, Evidence]:
    """(the order, what shows that it is better) from reviews; no order when they are too few, or when the
    later ones do not show that it beats the outlier model's own. A proven order is learnt anew from all
    reviews."""
    _, first = np.unique(reviewed.incident, return_index=True)
    times = np.sort(reviewed.at_ms[first])
    count = len(times)
    earlier = reviewed.at_ms < times[count - round(LATER * count)] if count else np.zeros(0, bool)
    before, after = reviewed.part(earlier), reviewed.part(~earlier)
    if min(*before.counts, *after.counts) < FEWEST:
        told = f"{count} reviews are too few: earlier and later ones need {FEWEST} of each verdict"
        return None, Evidence(count, 0, math.nan, math.nan, math.nan, math.nan, math.nan, told)
    evidence = _evidence(model, _fitted(model, before), after, count)
    if not evidence.is_better:
        return None, evidence
    return Order(model.names, tuple(model.ensemble.members), *_fitted(model, reviewed), evidence), evidence


def told_of(model: OutlierModel, vectors: Numbers) -> Numbers:
    """What the regression sees of each vector: its score, the detectors' surprises, its features drawn in."""
    plain = model.plain(vectors)
    return np.column_stack([model.ensemble.score(plain), model.ensemble.surprises(plain), bent(plain)])


def reviewed_vectors(reviews: Iterable[Mapping[str, Any]], windows: Sequence[Mapping[str, Any]]) -> Reviewed:
    """The vectors of `windows` (rows of gold.behaviour_vectors) that lie in an incident which was confirmed,
    or found to be a false alarm. An incident's first reviewer counts; other verdicts teach nothing here."""
    by_entity: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for window in windows:
        by_entity.setdefault((window["entity"], window["entity_id"]), []).append(window)
    vectors, incident, confirmed, at_ms = [], [], [], []
    for number, first in enumerate(of_incident[0] for of_incident in verdicts(reviews).values()):
        if first["verdict"] not in (CONFIRMED, FALSE_ALARM):
            continue
        for entity in first["entities"]:
            for window in by_entity.get((entity["entity"], entity["entity_id"]), ()):
                if first["window_start"] <= window["window_start"] < first["window_end"]:
                    vectors.append(window["vector"])
                    incident.append(number)
                    confirmed.append(first["verdict"] == CONFIRMED)
                    at_ms.append(round(first["reviewed_at"].timestamp() * 1000))
    width = len(vectors[0]) if vectors else 0
    return Reviewed(
        np.array(vectors, np.float64).reshape(len(vectors), width),
        np.array(incident, np.int64),
        np.array(confirmed, bool),
        np.array(at_ms, np.int64),
    )


def _fitted(model: OutlierModel, reviewed: Reviewed) -> tuple[Numbers, Numbers, Numbers, float]:
    from sklearn.linear_model import LogisticRegression  # heavy, and only learning needs it

    told = told_of(model, reviewed.vectors)
    centre, spread = told.mean(axis=0), told.std(axis=0)
    spread[spread == 0] = 1.0
    _, place, sizes = np.unique(reviewed.incident, return_inverse=True, return_counts=True)
    found = LogisticRegression(C=1 / PENALTY, class_weight="balanced", max_iter=1_000)
    # An incident of many entities is one review.
    found.fit((told - centre) / spread, reviewed.confirmed, sample_weight=1.0 / sizes[place])
    return centre, spread, np.asarray(found.coef_[0], np.float64), float(found.intercept_[0])


def average_precision(scores: Numbers, confirmed: Marks) -> float:
    """Mean over confirmed ones of the precision among those that come no later in descending order of
    `scores`.

    >>> round(average_precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True])), 3)
    0.833
    """
    in_order = confirmed[np.argsort(-scores, kind="stable")]
    places = np.flatnonzero(in_order) + 1
    return float(np.mean(np.arange(1, len(places) + 1) / places))


def _evidence(
    model: OutlierModel, fitted: tuple[Numbers, Numbers, Numbers, float], later: Reviewed, reviews: int
) -> Evidence:
    _, first, place = np.unique(later.incident, return_index=True, return_inverse=True)
    confirmed = later.confirmed[first]
    log_odds = np.empty(len(later.vectors))
    _log_odds(told_of(model, later.vectors), *fitted, log_odds)
    ours, without = np.full((2, len(first)), -np.inf)  # an incident stands where its first vector does
    np.maximum.at(ours, place, log_odds)
    np.maximum.at(without, place, model.score(later.vectors))
    chance = np.random.default_rng(0)
    groups = [np.flatnonzero(confirmed), np.flatnonzero(~confirmed)]
    gains = np.empty(DRAWS)
    for number in range(DRAWS):
        rows = np.concatenate([chance.choice(group, len(group)) for group in groups])
        marks = confirmed[rows]
        gains[number] = average_precision(ours[rows], marks) - average_precision(without[rows], marks)
    low, high = (float(q) for q in np.quantile(gains, [0.025, 0.975]))
    precisions = [average_precision(scores, confirmed) for scores in (ours, without)]
    told = (
        f"average precision on {len(confirmed)} later reviews {precisions[0]:.3f}, without "
        f"{precisions[1]:.3f}: gain {gains.mean():+.3f} [{low:+.3f}, {high:+.3f}]: "
        f"{'used' if low > 0 else 'not used'}"
    )
    return Evidence(
        reviews, len(confirmed), precisions[0], precisions[1], float(gains.mean()), low, high, told
    )


@njit(cache=True, error_model="numpy")
def _log_odds(told, centre, spread, weights, intercept, out):  # type: ignore[no-untyped-def]
    for i in range(told.shape[0]):
        total = intercept
        for j in range(told.shape[1]):
            total += (told[i, j] - centre[j]) / spread[j] * weights[j]
        out[i] = total
