"""Whose acts item statistics leave out: entities that models must not learn from, and how that changes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.gold.stretches import DAY, Stretches

Hold = tuple[str, str, int, int]
"""The column of silver's events and decisions that names an entity, its name, and the time, from its start to
before its end, in ms."""
SPAN = "_column string, _name string, _from bigint, _until bigint"


@dataclass(frozen=True)
class Holds:
    """Those of now, and those that were not there, or are no more, since the batch before."""

    now: frozenset[Hold] = frozenset()
    changed: frozenset[Hold] = frozenset()

    @property
    def are_there(self) -> bool:
        """Whether anything is left out, or was until now."""
        return bool(self.now or self.changed)

    def taught(self, rows: DataFrame) -> DataFrame:
        """Rows of silver's events or decisions that none of now covers."""
        return reduce(lambda left, each: _joined(left, each, "left_anti"), _by_column(self.now), rows)

    def moved(self, rows: DataFrame) -> DataFrame:
        """Rows of silver's events or decisions that a changed one covers; a row may come several times."""
        parts = [_joined(rows, each, "left_semi") for each in _by_column(self.changed)]
        return reduce(DataFrame.unionAll, parts, rows.limit(0))

    def since(self) -> Stretches:
        """From the day of the first changed one on."""
        first = min(max(start, 0) for _, _, start, _ in self.changed)
        return Stretches.since(first // 1000 // DAY * DAY)


def _by_column(holds: Collection[Hold]) -> list[list[Hold]]:
    columns = sorted({hold[0] for hold in holds})
    return [sorted(hold for hold in holds if hold[0] == column) for column in columns]


def _joined(rows: DataFrame, holds: list[Hold], how: str) -> DataFrame:
    """`rows` that some (`left_semi`) or none (`left_anti`) of `holds` on one column covers."""
    spans = F.broadcast(rows.sparkSession.createDataFrame(holds, SPAN))
    at, is_named = F.unix_millis("event_time"), F.col(holds[0][0]) == F.col("_name")
    return rows.join(spans, is_named & (at >= F.col("_from")) & (at < F.col("_until")), how=how)
