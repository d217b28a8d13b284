"""Make few incidents of what the watch has found, keep them in gold.alerts, and tell the channels."""

import argparse
import atexit

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from pipelines.anomalies.drop_findings import drop_findings
from pipelines.anomalies.outlier_findings import outlier_findings
from pipelines.anomalies.watched import arrivals
from pipelines.clock import now_ms
from pipelines.contracts.gold import OUTLIERS
from pipelines.contracts.watch import METRIC_VERDICTS
from pipelines.io import delta
from pipelines.io.raising import raiser
from pipelines.launch import stream_job
from pipelines.settings import Settings

QUERY = "raise_alerts"


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> list[StreamingQuery]:
    """Start the one query that reads both watches' tables."""
    alerts = raiser(settings, spark, QUERY, (outlier_findings, drop_findings), now_ms)
    atexit.register(alerts.deliveries.close)  # what waits then is delivered by the next process

    def write(new: DataFrame, batch: delta.Batch) -> int:
        return alerts.take(new.toArrow(), batch, new.sparkSession)

    new = arrivals(*(delta.stream(spark, settings, table) for table in (OUTLIERS, METRIC_VERDICTS)))
    pace = {"trigger_ms": settings.alerts.trigger_ms, "once": args.once}
    return [delta.start(new, write, settings, QUERY, **pace)]


if __name__ == "__main__":
    raise SystemExit(stream_job("raise_alerts", __doc__, run))
