"""From behaviour vectors of the lake to an outlier model that the registry can keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.domain import Domain
from pipelines.errors import TrainingError
from pipelines.features.columns import as_ms, lists
from pipelines.models import package, plots, registered
from pipelines.models.gate import rare_share
from pipelines.models.outlier_kinds import Outliers
from pipelines.models.outliers import OutlierModel
from pipelines.models.split import is_later
from pipelines.models.training import EXAMPLE, Origin
from pipelines.sections import Training

WINDOW_COLUMNS = ("window_start", "window_minutes", "entity", "entity_id", "vector")
"""What is read of gold.behaviour_vectors."""
UNTIL = "calibrated_until_ms"
"""Figure of a version: the start of the newest window that it was calibrated by."""
TO_CALIBRATE = 4
"""One vector to calibrate a kind by, for so many to learn it from, are enough."""
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class TrainedOutliers:
    """Outlier models by kind of vectors, the kind with the most vectors first; how many vectors taught each,
    and the newer vectors that it was not trained on."""

    models: dict[str, OutlierModel]
    trained_on: dict[str, int]
    newest: dict[str, Numbers]
    until_ms: int  # start of the newest window


@dataclass(frozen=True)
class Parts:
    """Vectors of a kind before and after the cut in time, each in order of time and entity."""

    earlier: Numbers
    newest: Numbers


def train_outliers(
    windows: pa.Table, names: Sequence[str], training: Training, fewest: int
) -> TrainedOutliers:
    """Outlier models of gold.behaviour_vectors, but for the last `training.test_share` of each kind by time;
    of the kinds that have `fewest` vectors to learn from and a quarter as many behind the cut.

    Raises TrainingError when no kind has.
    """
    parts = outlier_split(windows, training.test_share)
    enough = {kind: part for kind, part in parts.items() if _suffices(part, fewest)}
    if not enough:
        told = (
            ", ".join(f"{kind} {len(p.earlier)} and {len(p.newest)}" for kind, p in parts.items()) or "none"
        )
        raise TrainingError(
            f"no kind of behaviour vectors has {fewest} to learn from and {fewest // TO_CALIBRATE} to "
            f"calibrate by, but {told}: let more events come in first"
        )
    fitted = {
        kind: OutlierModel.fit(part.earlier, names=names, seed=training.seed) for kind, part in enough.items()
    }
    trained_on = {kind: len(part.earlier) for kind, part in enough.items()}
    newest = {kind: part.newest for kind, part in enough.items()}
    return TrainedOutliers(fitted, trained_on, newest, int(as_ms(windows["window_start"]).max()))


def _suffices(part: Parts, fewest: int) -> bool:
    return len(part.earlier) >= fewest and len(part.newest) >= max(fewest // TO_CALIBRATE, 1)


def outlier_split(windows: pa.Table, test_share: float) -> dict[str, Parts]:
    """The vectors of rows of gold.behaviour_vectors by kind (`<entity>/<minutes>`), the kind with the most
    first, cut in time: of each kind the last `test_share` is the newest."""
    found = {}
    for kind, rows in by_kind(windows).items():
        starts, vectors = as_ms(rows["window_start"]), matrix_of(rows["vector"])
        late = is_later(starts, test_share)
        found[kind] = Parts(vectors[~late], vectors[late])
    return found


def by_kind(windows: pa.Table) -> dict[str, pa.Table]:
    """Rows of gold.behaviour_vectors by kind, each in order of time and entity."""
    counted = windows.group_by(["entity", "window_minutes"]).aggregate([([], "count_all")]).to_pylist()
    kinds = sorted(counted, key=lambda row: (-row["count_all"], row["entity"], row["window_minutes"]))
    windows = windows.sort_by([(name, "ascending") for name in ("window_start", "entity_id")])
    return {
        f"{row['entity']}/{row['window_minutes']}": windows.filter(
            (pc.field("entity") == row["entity"]) & (pc.field("window_minutes") == row["window_minutes"])
        )
        for row in kinds
    }


def matrix_of(vectors: pa.ChunkedArray) -> Numbers:
    """A column of vectors of one width as a matrix."""
    return np.asarray(lists(vectors)[1].to_numpy(zero_copy_only=False), np.float64).reshape(len(vectors), -1)


def pack_outliers(
    found: TrainedOutliers,
    outliers: Outliers,
    domain: Domain,
    training: Training,
    folder: Path,
    origin: Origin,
    parameters: Mapping[str, Any],
) -> registered.Training:
    """Seal the models and their calibrations in `folder`; what the registry keeps of them."""
    package.save_outliers(folder, outliers, found.newest)
    main = next(iter(found.newest))
    figures: dict[str, float] = {
        "newest_among_rarest_percent": rare_share(found.models, found.newest),
        UNTIL: float(found.until_ms),
    }
    for kind in found.models:
        name = kind.replace("/", "_")
        figures[f"trained_on_{name}"] = float(found.trained_on[kind])
        figures[f"newest_{name}"] = float(len(found.newest[kind]))
    return registered.Training(
        name=f"{domain.name}-outliers",
        domain=domain.name,
        folder=folder,
        example=pd.DataFrame(found.newest[main][:EXAMPLE], columns=list(outliers.names)),
        parameters={
            **asdict(outliers.main.config),
            **parameters,
            "seed": training.seed,
            "kinds": ", ".join(found.models),
            "detectors": ", ".join(outliers.main.ensemble.names),
        },
        figures=figures,
        versions_read=origin.versions_read,
        revision=origin.revision,
        finished_at_ms=origin.finished_at_ms,
        pictures={"scores.png": plots.score_histogram(outliers.main.score(found.newest[main]))},
    )
