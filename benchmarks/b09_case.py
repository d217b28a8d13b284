"""The Spark path of B9 in one process: a Delta table of behaviour vectors gets its scores, ranks and
reasons as `watch_outliers` gives them. Prints its figures as JSON on the last line."""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.harness import measured
from pipelines import settings as settings_module
from pipelines.anomalies.judging import judged
from pipelines.models.scoring import Champion
from pipelines.session import spark_session

WARM_UPS = 2


def main() -> None:
    """Judge all vectors of the table and throw the rows away."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("cache", help="folder of the package <cache>/bench-outliers/1")
    args = parser.parse_args()
    champion = Champion("bench-outliers", "1", "unused", args.cache)
    spark = spark_session(settings_module.load(), "b09")

    def path() -> None:
        rows = judged(spark.read.format("delta").load(str(args.table)), champion)
        rows.write.format("noop").mode("overwrite").save()

    for _ in range(WARM_UPS):  # starting workers and loading the model are paid once by a stream
        path()
    with measured(spark) as figures:
        path()
    spark.stop()
    print(json.dumps(figures))


if __name__ == "__main__":
    sys.exit(main())
