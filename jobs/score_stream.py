"""Score new decisions in micro-batches, from when there is a champion to do it."""

import argparse
from dataclasses import replace
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from pipelines.contracts.silver import DECISIONS
from pipelines.io import delta
from pipelines.late import LateQuery
from pipelines.launch import stream_job
from pipelines.models.batches import Scorer
from pipelines.models.carried import Silver
from pipelines.settings import Settings


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> list[LateQuery]:
    """Start the one query, or wait for the champion it needs: until then the lake keeps what is to be
    scored."""
    lake = Silver(partial(delta.read, spark, settings), partial(delta.version, spark, settings))
    scorer = Scorer(args.domain, settings, lake)

    def write(new: DataFrame, batch: delta.Batch) -> int:
        with scorer.results(new) as found:
            for table, rows in found.tables:
                delta.append_once(rows, table, settings, replace(batch, is_small=found.rows <= delta.SMALL))
        return found.rows

    new = delta.stream(spark, settings, DECISIONS)
    pace = {"trigger_ms": settings.streams.scores_trigger_ms, "once": args.once}
    start = partial(delta.start, new, write, settings, "score_stream", **pace)
    return [LateQuery("score_stream", scorer.champions.are_there, start, once=args.once)]


if __name__ == "__main__":
    raise SystemExit(stream_job("score_stream", __doc__, run))
