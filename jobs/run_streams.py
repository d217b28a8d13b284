"""Run streams of a local installation in one process, by default all of them, those of the watch too."""

import argparse
from importlib import import_module

from pyspark.sql import SparkSession
from pyspark.sql.streaming import StreamingQuery

from jobs import ALL
from pipelines.errors import SettingsError, StoreError, nearest
from pipelines.launch import log, stream_job
from pipelines.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """`--only` picks some of the streams."""
    parser.add_argument("--only", default=",".join(ALL), help="streams, with commas (default: all)")


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> list[StreamingQuery]:
    """Start the chosen streams, in the order of the walk."""
    queries: list[StreamingQuery] = []
    for name in args.only.split(","):
        if name not in ALL:
            raise SettingsError(f"no stream {name!r}{nearest(name, ALL)}; known: {', '.join(ALL)}")
        try:
            queries += import_module(f"jobs.{name}").run(settings, spark, args)
        except StoreError as problem:  # the others need no store, and bronze can build it again
            if args.only == name:
                raise
            log.error("%s does not run: %s", name, problem)
        if args.once:  # what a stream leaves is there before the next one looks
            for query in queries:
                query.awaitTermination()
    return queries


if __name__ == "__main__":
    raise SystemExit(stream_job("run_streams", __doc__, run, arguments))
