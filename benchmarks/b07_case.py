"""One contender of B7 in one process: score a Delta table of feature rows. Prints its figures as JSON on
the last line."""

import argparse
import json
import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.harness import measured
from pipelines import settings as settings_module
from pipelines.models.registry import CHAMPION, Registry
from pipelines.models.scoring import Champion, with_scores
from pipelines.session import spark_session

MODEL, PLAIN = "bench-ranker", "bench-xgboost"
WIDE, PACKED = "rows_wide", "rows_packed"
WARM_UPS = 3


def ours(spark: SparkSession, settings: settings_module.Settings, rows: DataFrame) -> DataFrame:
    """The champion as score_stream applies it: one `mapInArrow`, the features packed into one column."""
    version = Registry(settings.tracking_uri).current(MODEL)
    champion = Champion(MODEL, str(version), settings.tracking_uri, str(settings.state / "models"))
    return with_scores(rows, champion)


def udf(spark: SparkSession, name: str, rows: DataFrame) -> DataFrame:
    """The same champion as MLflow's manual applies it: `spark_udf` over one column a feature."""
    import mlflow

    score = mlflow.pyfunc.spark_udf(
        spark, f"models:/{name}@{CHAMPION}", result_type="double", env_manager="local"
    )
    features = [column for column in rows.columns if column != "id"]
    return rows.select("id", score(F.struct(*features)).alias("score"))


def main() -> None:
    """Score all rows; with `--keep` write the scores as Parquet, otherwise throw them away."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=("ours", "ours_udf", "plain_udf"))
    parser.add_argument("--keep", metavar="FOLDER")
    args = parser.parse_args()
    settings = settings_module.load()
    import mlflow

    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_registry_uri(settings.tracking_uri)
    spark = spark_session(settings, "b07")
    table = settings.state / (PACKED if args.contender == "ours" else WIDE)
    rows = spark.read.format("delta").load(str(table))

    def scored(of: DataFrame) -> DataFrame:
        if args.contender == "ours":
            return ours(spark, settings, of)
        return udf(spark, MODEL if args.contender == "ours_udf" else PLAIN, of)

    # Loading the model, starting workers, and what a cold JVM costs are paid once by a stream, not by each
    # batch.
    for _ in range(WARM_UPS):
        scored(rows).write.format("noop").mode("overwrite").save()
    with measured(spark) as figures:
        scored(rows).write.format("noop").mode("overwrite").save()
    figures["rows"] = rows.count()
    if args.keep:
        scored(rows).write.mode("overwrite").parquet(str(Path(args.keep)))
    spark.stop()
    print(json.dumps(figures))


if __name__ == "__main__":
    sys.exit(main())
