"""From behaviour vectors of the lake to an outlier model that the registry can keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.domain import Domain
from pipelines.errors import TrainingError
from pipelines.features.columns import as_ms, lists
from pipelines.models import package, plots, registered
from pipelines.models.gate import rare_share
from pipelines.models.outliers import OutlierModel
from pipelines.models.split import is_later
from pipelines.models.training import EXAMPLE, Origin
from pipelines.sections import Training

FEWEST_VECTORS = 50
WINDOW_COLUMNS = ("window_start", "entity", "entity_id", "vector")
"""What is read of gold.behaviour_vectors."""


@dataclass(frozen=True)
class TrainedOutliers:
    """An outlier model, how many vectors taught it, and the newer vectors that it was not trained on."""

    model: OutlierModel
    trained_on: int
    newest: NDArray[np.float64]


def train_outliers(windows: pa.Table, names: Sequence[str], training: Training) -> TrainedOutliers:
    """An outlier model of gold.behaviour_vectors, but for the last `training.test_share` of them by time.

    Raises TrainingError for too few vectors.
    """
    earlier, newest = outlier_split(windows, training.test_share)
    model = OutlierModel.fit(earlier, names=names, seed=training.seed)
    return TrainedOutliers(model, len(earlier), newest)


def outlier_split(windows: pa.Table, test_share: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The vectors of rows of gold.behaviour_vectors before and after the cut in time, each in order of time
    and entity."""
    windows = windows.sort_by([(name, "ascending") for name in ("window_start", "entity", "entity_id")])
    starts = as_ms(windows["window_start"])
    _, flat = lists(windows["vector"])
    vectors = (
        flat.to_numpy(zero_copy_only=False).reshape(len(starts), -1) if len(starts) else np.zeros((0, 0))
    )
    late = is_later(starts, test_share) if len(starts) else np.zeros(0, bool)
    if (~late).sum() < FEWEST_VECTORS or not late.any():
        raise TrainingError(
            f"{len(starts)} behaviour vectors leave {(~late).sum()} to learn from ({FEWEST_VECTORS} needed) "
            f"and {late.sum()} to judge by: let more events come in first"
        )
    return vectors[~late], vectors[late]


def pack_outliers(
    found: TrainedOutliers, domain: Domain, training: Training, folder: Path, origin: Origin
) -> registered.Training:
    """Seal the outlier model in `folder`; what the registry keeps of it."""
    package.save_outliers(folder, found.model, found.newest)
    return registered.Training(
        name=f"{domain.name}-outliers",
        domain=domain.name,
        folder=folder,
        example=pd.DataFrame(found.newest[:EXAMPLE], columns=list(found.model.names)),
        parameters=asdict(found.model.config) | {"seed": training.seed, "detectors": "IForest, HBOS"},
        figures={
            "trained_on": float(found.trained_on),
            "newest": float(len(found.newest)),
            "newest_among_rarest_percent": rare_share(found.model, found.newest),
        },
        versions_read=origin.versions_read,
        revision=origin.revision,
        finished_at_ms=origin.finished_at_ms,
        pictures={"scores.png": plots.score_histogram(found.model.score(found.newest))},
    )
