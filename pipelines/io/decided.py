"""What the lake keeps of one decision: its scores, and the features that its items had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.contracts.gold import TRAINING_ROWS
from pipelines.errors import ModelError
from pipelines.io import lake
from pipelines.settings import Settings

if TYPE_CHECKING:  # takes seconds to import, and who only looks a decision up needs no model
    from pipelines.models.package import Ranker


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

    @property
    def logged(self) -> dict[str, float]:
        """The score of each item, as it was logged."""
        return dict(zip(self.scores["item_id"], self.scores["score"], strict=True))

    def lacking(self, ranker: Ranker) -> list[str]:
        """What keeps the scores from being computed once more; nothing where they can be."""
        if self.rows.empty:
            return [
                f"the features of decision {self.decision_id} are not kept: gold.training_rows (version "
                f"{self.rows_version}) has no row of it; build_training_set keeps them once outcomes are "
                "known"
            ]
        lacking = []
        made_by = self.rows.iloc[0]["definitions_hash"]
        if made_by != ranker.definitions_hash:
            lacking.append(
                f"gold.training_rows keeps features {made_by}, the model takes {ranker.definitions_hash}: "
                "the features that it has seen are no longer there"
            )
        carried, vectors = (
            ranker.vectors.version if ranker.vectors else None,
            self.rows.iloc[0]["vectors_version"],
        )
        if carried != vectors:
            lacking.append(
                f"gold.training_rows was made with the vectors {vectors}, the model carries {carried}: the "
                "features that it has seen are no longer there"
            )
        if gone := sorted(set(self.scores["item_id"]) - set(self.rows["item_id"])):
            lacking.append(f"gold.training_rows has no row of {', '.join(gone)}, which were scored")
        return lacking


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
