"""What outlier models learn from and are calibrated by, and what their discoveries have cost."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from pipelines.anomalies.calibrating import unconfirmed
from pipelines.anomalies.discoveries import Past
from pipelines.anomalies.judging import past_of
from pipelines.anomalies.reviews import confirmed_entities
from pipelines.contracts.gold import BEHAVIOUR_VECTORS
from pipelines.contracts.ops import OUTLIER_BATCHES
from pipelines.contracts.watch import REVIEWS
from pipelines.io import parts
from pipelines.models.outlier_training import WINDOW_COLUMNS
from pipelines.session import Lender
from pipelines.settings import Settings


def learnable(settings: Settings, spark: Lender, version: int | None = None) -> pa.Table:
    """The valid behaviour vectors, at a version of their table or the newest, but for what reviewers have
    confirmed to be wrong."""
    windows = parts.valid_rows(settings, BEHAVIOUR_VECTORS, WINDOW_COLUMNS, spark, at=version)
    reviews = parts.valid_rows(settings, REVIEWS, REVIEWS.schema.names, spark).to_pylist()
    return unconfirmed(windows, confirmed_entities(reviews))


def spent(settings: Settings, spark: Lender) -> Callable[[int], list[Past]]:
    """A function that gives the newest so many batches of discoveries, the oldest first."""
    columns = ("number", "level", "found", "most")
    return lambda most: past_of(parts.valid_rows(settings, OUTLIER_BATCHES, columns, spark), most)
