"""Outlier models with the calibrations of their kinds, and whether these still hold."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.anomalies.calibration import Calibration, Rule
from pipelines.anomalies.exchangeability import capital, shuffled_within
from pipelines.anomalies.reviews import Confirmed, confirmed_entities
from pipelines.features.columns import as_ms
from pipelines.models.outlier_kinds import Outliers
from pipelines.models.outlier_training import matrix_of
from pipelines.models.outliers import OutlierModel
from pipelines.settings import Settings

DAY_MS = 86_400_000
Numbers = NDArray[np.float64]


def rule_of(settings: Settings) -> Rule:
    """How scores become p-values, by the settings."""
    config = settings.outliers
    about = config.bound, config.bound_delta, config.tail_share, config.tail_reach
    return Rule(*about, seed=settings.training.seed)


def calibrated(models: Mapping[str, OutlierModel], later: Mapping[str, Numbers], rule: Rule) -> Outliers:
    """The models, each calibrated by vectors of its kind that it was not fitted on."""
    frozen = {
        kind: Calibration.fit(model.score(later[kind]), rule).frozen() for kind, model in models.items()
    }
    return Outliers(models, frozen)


def calibrations_of(outliers: Outliers) -> dict[str, Calibration]:
    """The calibrations of a package by kind. Raises ModelError for damaged ones."""
    return {kind: Calibration.from_frozen(*frozen) for kind, frozen in outliers.calibrations.items()}


def unconfirmed(windows: pa.Table, confirmed: Iterable[Confirmed]) -> pa.Table:
    """Rows of gold.behaviour_vectors but for those of entities in the time for which a reviewer has confirmed
    that they did wrong. What was a false alarm stays: it is what the shop is like."""
    wrong: dict[tuple[str, str], list[Confirmed]] = {}
    for one in confirmed:
        wrong.setdefault((one.entity, one.entity_id), []).append(one)
    if not wrong or not windows.num_rows:
        return windows
    starts = as_ms(windows["window_start"])
    ends = starts + windows["window_minutes"].to_numpy().astype(np.int64) * 60_000
    keys = zip(windows["entity"].to_pylist(), windows["entity_id"].to_pylist(), strict=True)
    kept = [
        not any(start < one.until_ms and one.from_ms < end for one in wrong.get(key, ()))
        for key, start, end in zip(keys, starts.tolist(), ends.tolist(), strict=True)
    ]
    return windows.filter(pa.array(kept))


@dataclass(frozen=True)
class ReviewedPast:
    """Valid rows of gold.behaviour_vectors, and of gold.reviews."""

    windows: pa.Table
    reviews: list[dict[str, Any]]

    @functools.cached_property
    def learnable(self) -> pa.Table:
        """The windows but for what reviewers have confirmed to be wrong."""
        return unconfirmed(self.windows, confirmed_entities(self.reviews))


@dataclass(frozen=True)
class Drift:
    """How a kind's newer vectors compare with its calibration: how many there were, the highest capital of
    the bet that they differ, and the share of p-values below 5 %."""

    kind: str
    vectors: int
    capital: float
    share_below_5: float

    def is_broken(self, limit: float) -> bool:
        """Whether the bet has won more than chance allows."""
        return self.capital >= limit

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.kind}: {self.vectors:,} vectors, capital {self.capital:.3g}, "
            f"{self.share_below_5:.1%} of the p-values below 5 %"
        )


def drifts(outliers: Outliers, newer: Mapping[str, pa.Table], seed: int) -> list[Drift]:
    """For each calibrated kind how its newer vectors (rows of gold.behaviour_vectors by kind) compare with
    the calibration; kinds without any are left out."""
    found = []
    for kind, calibration in calibrations_of(outliers).items():
        rows = newer.get(kind)
        if rows is None or not rows.num_rows:
            continue
        scores = outliers.models[kind].score(matrix_of(rows["vector"]))
        order = shuffled_within(as_ms(rows["window_start"]) // DAY_MS, seed)
        p = calibration.smoothed(scores[order], np.random.default_rng(seed))
        won = capital(p, len(calibration.scores))
        highest = float(10 ** min(won.max(initial=0.0), 300.0))
        found.append(Drift(kind, rows.num_rows, highest, float(np.mean(p <= 0.05))))
    return found
