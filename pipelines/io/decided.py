"""What the lake keeps of one decision: its scores, and the features that its items had."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.contracts.gold import TRAINING_ROWS
from pipelines.errors import ModelError
from pipelines.io import lake
from pipelines.settings import Settings


@dataclass(frozen=True)
class Decided:
    """A decision that was scored: rows of gold.scores by rank, and its rows of gold.training_rows by
    position, of which there may be none; and that table's version."""

    decision_id: str
    scores: pd.DataFrame
    rows: pd.DataFrame
    rows_version: int | None

    @property
    def model(self) -> tuple[str, str]:
        """Name and version of the model that scored it."""
        first = self.scores.iloc[0]
        return str(first["model_name"]), str(first["model_version"])

    @property
    def features(self) -> NDArray[np.float32]:
        """The features of `rows`, one row for each item."""
        return np.stack([np.asarray(row, np.float32) for row in self.rows["features"]])


def find(settings: Settings, decision_id: str) -> Decided:
    """What the lake keeps of the decision. Raises ModelError when it was not scored, saying why."""
    sql = "SELECT * FROM gold.scores WHERE decision_id = ? ORDER BY rank"
    scores = lake.query(settings, sql, decision_id)
    if scores.empty:
        raise ModelError(_unknown(settings, decision_id))
    domain = str(scores.iloc[0]["model_name"]).rpartition("-")[0]
    sql = "SELECT * FROM gold.training_rows WHERE decision_id = ? AND domain = ? ORDER BY position"
    rows = lake.query(settings, sql, decision_id, domain)
    return Decided(decision_id, scores, rows, lake.version(settings, TRAINING_ROWS))


def _unknown(settings: Settings, decision_id: str) -> str:
    sql = "SELECT event_time FROM silver.decisions WHERE decision_id = ?"
    landed = lake.query(settings, sql, decision_id)
    if landed.empty:
        return (
            f"there is no decision {decision_id} in the lake: neither in gold.scores nor in silver.decisions"
        )
    at = landed.iloc[0]["event_time"]
    return (
        f"decision {decision_id} of {at:%Y-%m-%d %H:%M:%S} UTC is in silver.decisions, but no model has "
        "scored it: `lakepulse status` shows whether score_stream runs, `lakepulse models list` whether "
        "there is a champion"
    )
