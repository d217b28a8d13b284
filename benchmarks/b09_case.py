"""The Spark path of B9 in one process: rows of Delta tables of behaviour vectors are judged and appended to
gold.outliers, as `watch_outliers` does it with micro-batches. Prints its figures as JSON on the last
line."""

import argparse
import itertools
import json
import sys
from pathlib import Path

from benchmarks.harness import measured
from pipelines import settings as settings_module
from pipelines.anomalies.judging import Judge
from pipelines.contracts.gold import OUTLIERS
from pipelines.io import delta
from pipelines.models.champions import Champions
from pipelines.models.scoring import Champion
from pipelines.session import spark_session

WARM_UPS = 3


class InCharge(Champions):
    """A champion that needs no registry."""

    def __init__(self, champion: Champion) -> None:
        """Only this one is ever in charge."""
        self._only = champion

    def now(self) -> list[Champion]:
        """It."""
        return [self._only]


def main() -> None:
    """Judge all vectors of the table and append what comes out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", type=Path, help="folder of Delta tables, each a micro-batch")
    parser.add_argument("cache", help="folder of the package <cache>/bench-outliers/1")
    args = parser.parse_args()
    settings = settings_module.load()
    champion = Champion("bench-outliers", "1", "unused", args.cache)
    judge = Judge(InCharge(champion), settings.outliers, lambda most: [])
    spark = spark_session(settings, "b09")
    numbers = itertools.count()

    tables = sorted(map(str, args.tables.iterdir()))

    def path() -> None:
        for table in tables:
            results = judge.results(spark.read.format("delta").load(table))
            batch = delta.Batch("b09", next(numbers), is_first=False)
            delta.append_rows_once(results.rows, OUTLIERS, settings, batch, spark)

    for _ in range(WARM_UPS):  # starting workers and loading the model are paid once by a stream
        path()
    with measured(spark) as figures:
        path()
    spark.stop()
    print(json.dumps(figures))


if __name__ == "__main__":
    sys.exit(main())
