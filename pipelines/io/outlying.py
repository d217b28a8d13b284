"""What outlier models learn from and are calibrated by, and what their discoveries have cost."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from pipelines.anomalies.calibrating import ReviewedPast
from pipelines.anomalies.discoveries import Past
from pipelines.anomalies.judging import past_of
from pipelines.contracts.gold import BEHAVIOUR_VECTORS
from pipelines.contracts.ops import ALERT_ORDERS, OUTLIER_BATCHES
from pipelines.contracts.watch import REVIEWS
from pipelines.io import parts
from pipelines.models.outlier_training import WINDOW_COLUMNS
from pipelines.session import Lender
from pipelines.settings import Settings


def reviewed_past(settings: Settings, spark: Lender, version: int | None = None) -> ReviewedPast:
    """The valid behaviour vectors, at a version of their table or the newest, and what reviewers said."""
    windows = parts.valid_rows(settings, BEHAVIOUR_VECTORS, WINDOW_COLUMNS, spark, at=version)
    reviews = parts.valid_rows(settings, REVIEWS, REVIEWS.schema.names, spark).to_pylist()
    return ReviewedPast(windows, reviews)


def spent(settings: Settings, spark: Lender) -> Callable[[int], list[Past]]:
    """A function that gives the newest so many batches of discoveries, the oldest first."""
    columns = ("number", "level", "found", "most")
    return lambda most: past_of(parts.valid_rows(settings, OUTLIER_BATCHES, columns, spark), most)


class Orders:
    """ops.alert_orders: a row for each version of outlier models that took over."""

    def __init__(self, settings: Settings, spark: Lender) -> None:
        """Nothing is read yet."""
        self._settings, self._spark = settings, spark
        self._newest: str | None = None

    def note(self, rows: pa.Table) -> None:
        """Append the row of the version in charge, unless it is the newest one already."""
        if not rows.num_rows:
            return
        version = rows["model_version"][0].as_py()
        if self._newest is None:
            known = parts.valid_rows(self._settings, ALERT_ORDERS, ("since", "model_version"), self._spark)
            newest = known.sort_by([("since", "descending")])["model_version"].slice(0, 1).to_pylist()
            self._newest = newest[0] if newest else ""
        if version != self._newest:
            parts.append(rows, self._settings, ALERT_ORDERS, self._spark)
            self._newest = version
