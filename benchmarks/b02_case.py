"""One contender of B2 in one process: runs its stream until the file named by the second argument appears."""

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.b01_case import stock_session
from benchmarks.harness import measured
from jobs import land_bronze
from pipelines import settings as settings_module
from pipelines.session import spark_session


def main() -> None:
    """`ours` is land_bronze; `stock` is the same rows through Delta's own streaming sink with stock
    settings."""
    contender, stop = sys.argv[1], Path(sys.argv[2])
    settings = settings_module.load()
    if contender == "ours":
        spark = spark_session(settings, "ours")
        queries = land_bronze.run(settings, spark, argparse.Namespace(once=False))
    else:
        spark = stock_session(settings)
        reader = spark.readStream.format("kafka").option("kafka.bootstrap.servers", settings.bootstrap)
        messages = reader.option("subscribe", "interactions").option("startingOffsets", "earliest").load()
        writer = messages.writeStream.format("delta").option(
            "checkpointLocation", str(settings.state / "stock_checkpoint")
        )
        queries = [writer.start(settings.lake + "/bronze/interactions")]
    with measured(spark) as figures:
        while not stop.exists():
            time.sleep(0.1)
            for query in queries:
                if query.exception():
                    raise SystemExit(str(query.exception()))
    for query in queries:
        query.stop()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
