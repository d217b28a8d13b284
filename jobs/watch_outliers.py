"""Judge new behaviour vectors in micro-batches, from when there is a champion of the outlier models."""

import argparse
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from pipelines.anomalies.judging import Judge, batch_row
from pipelines.contracts.gold import BEHAVIOUR_VECTORS, OUTLIERS
from pipelines.contracts.ops import OUTLIER_BATCHES
from pipelines.io import delta
from pipelines.io.outlying import Orders, spent
from pipelines.late import LateQuery
from pipelines.launch import stream_job
from pipelines.settings import Settings


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> list[LateQuery]:
    """Start the one query, or wait for the champion it needs: until then the lake keeps what is to be
    judged."""
    judge = Judge.of(args.domain, settings, spent(settings, lambda: spark))
    orders = Orders(settings, lambda: spark)

    def write(new: DataFrame, batch: delta.Batch) -> int:
        results, number = judge.results(new), delta.next_revision(spark, settings, OUTLIER_BATCHES)
        delta.append_rows_once(results.rows, OUTLIERS, settings, batch, spark)
        row = batch_row(results, batch.id, number)
        if delta.append_rows_once(row, OUTLIER_BATCHES, settings, batch, spark):
            judge.written(results)
        orders.note(results.order)
        return int(results.rows.num_rows)

    new = delta.stream(spark, settings, BEHAVIOUR_VECTORS, settings.streams.silver_batch_bytes)
    pace = {"trigger_ms": settings.streams.outliers_trigger_ms, "once": args.once}
    start = partial(delta.start, new, write, settings, "watch_outliers", **pace)
    return [LateQuery("watch_outliers", judge.champions.are_there, start, once=args.once)]


if __name__ == "__main__":
    raise SystemExit(stream_job("watch_outliers", __doc__, run))
