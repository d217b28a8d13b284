"""Calibrating anew: the cheap answer when new vectors are no longer like the calibration's. The models stay;
where that has been tried, it is time to train."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.anomalies.calibrating import (
    Drift,
    ReviewedPast,
    calibrated,
    calibrations_of,
    drifts,
    rule_of,
)
from pipelines.anomalies.reviewed import taught
from pipelines.anomalies.reviews import enough_at
from pipelines.errors import ModelError, TrainingError
from pipelines.features.columns import as_ms
from pipelines.models import package
from pipelines.models.outlier_kinds import Outliers
from pipelines.models.outlier_training import TO_CALIBRATE, UNTIL, by_kind, matrix_of
from pipelines.models.promotion import model_cache
from pipelines.models.registered import Training, Version
from pipelines.models.registry import Registry
from pipelines.models.revision import git_revision
from pipelines.models.training import EXAMPLE
from pipelines.settings import Settings

BROKEN = 99
"""Exit code that says that a calibration does not hold."""
RENEWED, MADE = "renews", "recalibration"


@dataclass(frozen=True)
class Look:
    """How the vectors since the champion was calibrated compare with its calibration, and whether reviews
    have shown since then what is wrong."""

    champion: Version
    outliers: Outliers
    past: ReviewedPast
    newer: Mapping[str, pa.Table]
    drifts: list[Drift]
    limit: float
    is_shown: bool

    @property
    def is_broken(self) -> bool:
        """Whether any kind's calibration does not hold, or knows nothing of what reviews have shown."""
        return self.is_shown or any(drift.is_broken(self.limit) for drift in self.drifts)

    @property
    def told(self) -> str:
        """What follows, for people."""
        if not self.is_broken:
            return "the calibration holds"
        if self.is_shown:
            return "reviews have shown since the calibration what is wrong: renew it"
        if RENEWED in self.champion.tags:
            return "the calibration does not hold, though it was renewed: renew it again, and train"
        return "the calibration does not hold: renew it"


def look(registry: Registry, name: str, past: ReviewedPast, settings: Settings) -> Look:
    """Compare the champion's calibration with unconfirmed vectors since then. Whoever has seen the most
    unusual of each day until enough were judged has shown what is wrong: that is a reason to renew, once.

    Raises ModelError without a champion.
    """
    number = registry.current(name)
    if number is None:
        raise ModelError(f"there is no champion of {name}: train it and promote it")
    champion = registry.version(name, number)
    outliers = package.load_outliers(registry.fetch(name, number, model_cache(settings)))
    until = registry.figures(champion).get(UNTIL)
    if until is None:
        raise ModelError(f"{name} {number} does not say until when it was calibrated: train it again")
    newer = {
        kind: rows.filter(pa.array(as_ms(rows["window_start"]) > until))
        for kind, rows in by_kind(past.learnable).items()
        if kind in outliers.models
    }
    found = drifts(outliers, newer, settings.training.seed)
    shown_at = enough_at(past.reviews, settings.alerts.unusual_until)
    is_shown = shown_at is not None and shown_at > until and any(rows.num_rows for rows in newer.values())
    limit = settings.outliers.change_limit
    return Look(champion, outliers, past, newer, found, limit, is_shown)


def renew(registry: Registry, seen: Look, folder: Path, settings: Settings, now_ms: int) -> str:
    """Register the champion's models with calibrations by the newer vectors, where there are enough of them,
    and put them in charge. Returns the version.

    Raises TrainingError when no kind has enough.
    """
    fewest = max(settings.outliers.fewest_vectors // TO_CALIBRATE, 1)
    vectors = {
        kind: matrix_of(rows["vector"]) for kind, rows in seen.newer.items() if rows.num_rows >= fewest
    }
    if not vectors:
        raise TrainingError(f"no kind has {fewest} vectors since {seen.champion.name} was calibrated")
    models = {kind: model for kind, model in seen.outliers.models.items() if kind in vectors}
    fresh = calibrated(models, vectors, rule_of(settings))
    whole = Outliers(seen.outliers.models, {**seen.outliers.calibrations, **fresh.calibrations})
    outliers = taught(whole, seen.past, settings.alerts.exposure_unit)
    example = {
        kind: matrix_of(rows["vector"])[:EXAMPLE] for kind, rows in seen.newer.items() if rows.num_rows
    }
    nothing = np.zeros((1, len(outliers.names)))
    example |= {kind: nothing for kind in outliers.models if kind not in example}
    package.save_outliers(folder, outliers, example)
    figures: dict[str, float] = {UNTIL: until_ms(seen.newer)}
    for kind, calibration in calibrations_of(fresh).items():
        figures[f"calibrated_by_{kind.replace('/', '_')}"] = float(len(calibration.scores))
    main = next(iter(example))
    made = Training(
        name=seen.champion.name,
        domain=seen.champion.tags["domain"],
        folder=folder,
        example=pd.DataFrame(example[main], columns=list(outliers.names)),
        parameters={RENEWED: seen.champion.version} | asdict(rule_of(settings)),
        figures=figures,
        versions_read={},
        revision=git_revision(settings.root),
        finished_at_ms=now_ms,
    )
    version = registry.register(made)
    registry.tag(made.name, version, {RENEWED: seen.champion.version})
    registry.promote(made.name, version)
    return version


def until_ms(windows: Mapping[str, pa.Table]) -> float:
    """The start (epoch ms) of the newest window of some tables of vectors."""
    return float(max(int(as_ms(rows["window_start"]).max()) for rows in windows.values() if rows.num_rows))


def record(seen: Look, version: str, now_ms: int) -> dict[str, Any]:
    """The row of ops.gate_records that tells of a new calibration."""
    return {
        "decided_at": datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC),
        "model_name": seen.champion.name,
        "challenger": version,
        "champion": seen.champion.version,
        "action": MADE,
        "decided_by": "recalibrate_outliers",
        "accepted": True,
        "reason": seen.told,
        "figures": {f"capital_{drift.kind}": drift.capital for drift in seen.drifts},
        "checks": [],
    }
