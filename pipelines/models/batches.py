"""One micro-batch of scoring: new decisions in, rows of gold.scores out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.contracts.gold import SCORES
from pipelines.contracts.scoring import TO_SCORE
from pipelines.contracts.table import Table
from pipelines.domain import Domain
from pipelines.features.definitions import compile_definitions
from pipelines.features.history import DECISION_COLUMNS
from pipelines.models.carried import Carried, Silver
from pipelines.models.champions import Champions
from pipelines.models.promotion import model_cache
from pipelines.models.registry import Registry, fail_fast
from pipelines.models.scoring import loaded_ranker, score_rows, scored
from pipelines.settings import Settings


@dataclass(frozen=True)
class Results:
    """Rows by the table that they go to, and how many they are."""

    tables: list[tuple[Table, DataFrame]]
    rows: int


class Scorer:
    """The champion of a domain's ranker, and the state of its shop carried along silver."""

    def __init__(self, domain: Domain, settings: Settings, silver: Silver) -> None:
        fail_fast()
        definitions = compile_definitions(domain)
        registry, cache = Registry(settings.tracking_uri), model_cache(settings)
        self.champions = Champions(registry, cache, domain.name, definitions.hash, ("ranker",))
        self._carried = Carried(definitions, silver)

    @contextmanager
    def results(self, new: DataFrame) -> Iterator[Results]:
        """Results of a micro-batch of silver.decisions by the champion of now.

        They last as long as the context. Raises ModelError when there never was a champion.
        """
        [ranker] = self.champions.now()
        decisions = new.select(*DECISION_COLUMNS).toArrow()
        rows = self._carried.rows(decisions, loaded_ranker(ranker).vectors)
        judged = scored(_shaped(new.sparkSession.createDataFrame(rows)), ranker).persist()
        try:
            counted = judged.agg(F.coalesce(F.sum(F.size("items")), F.lit(0))).collect()[0][0]
            yield Results([(SCORES, score_rows(judged, ranker))], int(counted))
        finally:
            judged.unpersist()


def _shaped(rows: DataFrame) -> DataFrame:
    """The columns of TO_SCORE; those that this kind of row lacks are null."""
    return rows.select(
        *(
            (F.col(f.name) if f.name in rows.columns else F.lit(None)).cast(f.dataType).alias(f.name)
            for f in TO_SCORE.fields
        )
    )
