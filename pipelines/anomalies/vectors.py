"""Outliers among behaviour vectors: fit once, score any vector alike in any process, say why.

>>> import numpy as np
>>> usual = np.random.default_rng(0).normal(size=(500, 3))
>>> model = OutlierModel.fit(usual, seed=1, names=("clicks", "carts", "spent"))
>>> [reason.name for reason in reasons(model, np.array([[0.0, 99.0, 0.0]]), 1)[0]]
['carts']
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.anomalies.findings import Reason
from pipelines.models.outliers import OutlierConfig, OutlierModel

__all__ = ["OutlierConfig", "OutlierModel", "reasons"]


def reasons(model: OutlierModel, vectors: NDArray[np.float64], k: int = 3) -> list[tuple[Reason, ...]]:
    """Of each vector the `k` features that are the least usual, with their values and usual ranges, the most
    unusual first."""
    return [tuple(Reason(*of_feature) for of_feature in row) for row in model.reasons(vectors, k)]
