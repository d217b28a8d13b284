"""What reviews teach about the order of alerts: a small model of reviewed vectors, used only where it has
proved better than the order without it.

The model is a logistic regression with a quadratic penalty on the outlier model's score and on the features,
for all kinds of vectors at once: both are in spreads of their own kind. It learns from earlier reviews and is
judged on later ones; what it gains there has to be clear of chance. It orders what was found and never
decides what is found: p-values stay those of the outlier model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from pipelines.anomalies.calibrating import ReviewedPast
from pipelines.anomalies.incidents import LEAST_P, SAMPLE, weight
from pipelines.anomalies.reviews import CONFIRMED, FALSE_ALARM, millis, settled
from pipelines.errors import ModelError
from pipelines.features.columns import as_ms
from pipelines.models.outlier_kinds import Outliers
from pipelines.models.outlier_scale import bent
from pipelines.models.outlier_training import by_kind, matrix_of
from pipelines.models.outliers import OutlierModel

Numbers = NDArray[np.float64]
Marks = NDArray[np.bool_]
FORMAT = 2
LATER = 0.4
"""Share of the reviews, the latest, that the order is judged by."""
FEWEST = 8
"""Confirmed ones, and false alarms, that the earlier and the later reviews need each."""
DRAWS = 1_000
PENALTY = 30.0
"""Weight of the quadratic penalty: what a few dozen reviews say of one feature is drawn towards nothing."""
RARE = 0.99
"""Rank from which on a window of a reviewed incident teaches; where none has it, the highest one does."""


@dataclass(frozen=True)
class Reviewed:
    """What is told of vectors of incidents that somebody judged, float[n, d]; by vector its incident's
    number, the place that the incident had without an order (higher came first), whether it was confirmed
    (false: a false alarm), and when."""

    told: Numbers
    incident: NDArray[np.int64]
    without: Numbers
    confirmed: Marks
    at_ms: NDArray[np.int64]

    def part(self, rows: Marks) -> Reviewed:
        """The vectors that `rows` marks."""
        return Reviewed(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    @property
    def counts(self) -> tuple[int, int]:
        """How many incidents were confirmed, and how many were false alarms."""
        confirmed = len(np.unique(self.incident[self.confirmed]))
        return confirmed, len(np.unique(self.incident)) - confirmed


@dataclass(frozen=True)
class Evidence:
    """How the learnt order did on later reviews, as average precision, beside the order without it: the mean
    gain over draws of these reviews, and its 95 % interval. Figures are None where reviews are too few."""

    reviews: int
    judged: int
    ours: float | None
    without: float | None
    gain: float | None
    low: float | None
    high: float | None
    told: str

    @property
    def is_better(self) -> bool:
        """Whether the gain is clear of chance."""
        return self.low is not None and self.low > 0.0


@dataclass(frozen=True)
class Order:
    """A frozen regression: the log-odds that an alert is confirmed."""

    names: tuple[str, ...]  # of the outlier models' features
    centre: Numbers
    spread: Numbers
    weights: Numbers
    intercept: float

    def scores(self, model: OutlierModel, vectors: Numbers, unusual: Numbers) -> Numbers:
        """Of each vector, with the model's score, the log-odds: higher comes first. They depend on their own
        vector alone. Raises ModelError for an outlier model of other features."""
        if model.names != self.names:
            raise ModelError("the order of alerts was learnt of other features: learn it again")
        return self.of_told(told_of(model, vectors, unusual))

    def of_told(self, told: Numbers) -> Numbers:
        """The log-odds of what is told of vectors, see `told_of`."""
        out = np.empty(len(told))
        _log_odds(told, self.centre, self.spread, self.weights, self.intercept, out)
        return out

    def frozen(self) -> dict[str, Any]:
        """The order as JSON values, for `from_frozen`."""
        arrays = {name: getattr(self, name).tolist() for name in ("centre", "spread", "weights")}
        return {"format": FORMAT, "names": list(self.names), **arrays, "intercept": self.intercept}

    @classmethod
    def from_frozen(cls, about: Mapping[str, Any]) -> Order:
        """The order of `frozen`. Raises ModelError when it is damaged or of another version."""
        if about.get("format") != FORMAT:
            raise ModelError(
                f"the order of alerts is of format {about.get('format')}, not {FORMAT}: learn it again"
            )
        try:
            arrays = [np.array(about[name], np.float64) for name in ("centre", "spread", "weights")]
            order = cls(tuple(about["names"]), arrays[0], arrays[1], arrays[2], float(about["intercept"]))
        except (ValueError, KeyError, TypeError) as problem:
            raise ModelError(f"the order of alerts is damaged: {problem}") from None
        if {a.shape for a in arrays} != {(1 + len(order.names),)}:
            raise ModelError("the order of alerts does not fit its own features: it is damaged")
        return order


def taught(outliers: Outliers, past: ReviewedPast, unit: float) -> Outliers:
    """The models with what reviews teach about the order of their alerts, and the evidence for it; `unit` is
    `alerts.exposure_unit`."""
    order, evidence = learn(outliers.names, reviewed_vectors(outliers, past, unit))
    learnt = {"evidence": asdict(evidence), "order": order.frozen() if order else None}
    return dataclasses.replace(outliers, order=learnt)


def order_of(outliers: Outliers) -> Order | None:
    """The order that is in use with these models; None where none has proved better. Raises ModelError for a
    damaged one."""
    frozen = outliers.order.get("order")
    return Order.from_frozen(frozen) if frozen else None


def learn(names: tuple[str, ...], reviewed: Reviewed) -> tuple[Order | None, Evidence]:
    """(the order, what shows that it is better) from reviews; no order when they are too few, or when the
    later ones do not show that it beats the order without it. A proven order is learnt anew from all
    reviews."""
    _, first = np.unique(reviewed.incident, return_index=True)
    times = np.sort(reviewed.at_ms[first])
    count = len(times)
    later = max(1, round(LATER * count))
    earlier = reviewed.at_ms < times[count - later] if count else np.zeros(0, bool)
    before, after = reviewed.part(earlier), reviewed.part(~earlier)
    if min(*before.counts, *after.counts) < FEWEST:
        told = f"{count} reviews are too few: earlier and later ones need {FEWEST} of each verdict"
        return None, Evidence(count, 0, None, None, None, None, None, told)
    evidence = _evidence(order_by(names, before), after, count)
    return order_by(names, reviewed) if evidence.is_better else None, evidence


def told_of(model: OutlierModel, vectors: Numbers, unusual: Numbers) -> Numbers:
    """What the regression sees of each vector: its score by the outlier model, its features drawn in."""
    return np.column_stack([unusual, bent(model.plain(vectors))])


def reviewed_vectors(outliers: Outliers, past: ReviewedPast, unit: float) -> Reviewed:
    """The unusual vectors of incidents that were confirmed, or found to be a false alarm. An incident's first
    reviewer counts; other verdicts, and those on samples, teach nothing here."""
    rows = [row for row in settled(past.reviews).values() if row["verdict"] in (CONFIRMED, FALSE_ALARM)]
    rows = [row for row in rows if row["kind"] != SAMPLE and row["p"] is not None]
    wanted: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows):
        for entity in row["entities"] or ():
            wanted.setdefault((entity["entity"], entity["entity_id"]), []).append(number)
    spans = [(millis(row["window_start"]), millis(row["window_end"])) for row in rows]
    ids = pa.array(sorted({entity_id for _, entity_id in wanted}), pa.string())
    near = past.windows.filter(pc.is_in(past.windows["entity_id"], value_set=ids))
    told, incident, ranks = [np.empty((0, 1 + len(outliers.names)))], [], []
    for kind, windows in by_kind(near).items() if near.num_rows else ():
        model = outliers.models.get(kind)
        if model is None:
            continue
        keys = zip(windows["entity"].to_pylist(), windows["entity_id"].to_pylist(), strict=True)
        pairs = [
            (place, number)
            for place, (key, start) in enumerate(zip(keys, as_ms(windows["window_start"]), strict=True))
            for number in wanted.get(key, ())
            if spans[number][0] <= start < spans[number][1]
        ]
        vectors = matrix_of(windows["vector"])[[place for place, _ in pairs]]
        unusual = model.score(vectors) if pairs else np.empty(0)
        told.append(told_of(model, vectors, unusual) if pairs else told[0])
        incident += [number for _, number in pairs]
        ranks.append(model.rank(unusual))
    return _told_of_incidents(rows, np.concatenate(told), np.array(incident, np.int64), ranks, unit)


def _told_of_incidents(
    rows: list[Mapping[str, Any]],
    told: Numbers,
    incident: NDArray[np.int64],
    ranks: list[Numbers],
    unit: float,
) -> Reviewed:
    rank = np.concatenate([np.empty(0), *ranks])
    highest = np.zeros(len(rows))
    np.maximum.at(highest, incident, rank)
    kept = rank >= np.minimum(highest[incident], RARE)
    told, incident = told[kept], incident[kept]
    weights = (weight(max(row["p"], LEAST_P), row["exposure"] or 0.0, unit) for row in rows)
    without = np.fromiter(weights, np.float64)
    confirmed = np.array([row["verdict"] == CONFIRMED for row in rows], bool)
    at_ms = np.array([millis(row["reviewed_at"]) for row in rows], np.int64)
    return Reviewed(told, incident, without[incident], confirmed[incident], at_ms[incident])


def order_by(names: tuple[str, ...], reviewed: Reviewed) -> Order:
    """The order that these reviews teach, proven or not."""
    from sklearn.linear_model import LogisticRegression  # heavy, and only learning needs it

    told = reviewed.told
    centre, spread = told.mean(axis=0), told.std(axis=0)
    spread[spread == 0] = 1.0
    _, place, sizes = np.unique(reviewed.incident, return_inverse=True, return_counts=True)
    found = LogisticRegression(C=1 / PENALTY, class_weight="balanced", max_iter=1_000)
    # An incident of many entities is one review.
    found.fit((told - centre) / spread, reviewed.confirmed, sample_weight=1.0 / sizes[place])
    weights = np.asarray(found.coef_[0], np.float64)
    return Order(names, centre, spread, weights, float(found.intercept_[0]))


def average_precision(scores: Numbers, confirmed: Marks) -> float:
    """Mean over confirmed ones of the precision among those that come no later in descending order of
    `scores`.

    >>> round(average_precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True])), 3)
    0.833
    """
    in_order = confirmed[np.argsort(-scores, kind="stable")]
    places = np.flatnonzero(in_order) + 1
    return float(np.mean(np.arange(1, len(places) + 1) / places))


def _evidence(order: Order, later: Reviewed, reviews: int) -> Evidence:
    _, first, place = np.unique(later.incident, return_index=True, return_inverse=True)
    confirmed, without = later.confirmed[first], later.without[first]
    ours = np.full(len(first), -np.inf)  # an incident stands where its first vector does
    np.maximum.at(ours, place, order.of_told(later.told))
    chance = np.random.default_rng(0)
    groups = [np.flatnonzero(confirmed), np.flatnonzero(~confirmed)]
    gains = np.empty(DRAWS)
    for number in range(DRAWS):
        drawn = np.concatenate([chance.choice(group, len(group)) for group in groups])
        rows = chance.permutation(drawn)  # so that ties are in no order
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
