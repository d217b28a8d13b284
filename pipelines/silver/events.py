"""From a micro-batch of bronze to rows in this process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

TOO_MUCH = "spark.driver.maxResultSize"


def arriving(*bronze: DataFrame) -> DataFrame:
    """What silver reads of bronze's rows: bytes, headers, coordinates, the Kafka timestamp as arrival."""
    arrived_at = F.coalesce("timestamp", "ingested_at").alias("arrived_at")
    names = ("topic", "partition", "offset", "key", "value", "headers", arrived_at)
    return reduce(DataFrame.unionByName, [rows.select(*names) for rows in bronze])


def pieces(landed: DataFrame) -> Iterator[pa.Table]:
    """The rows, in this process: in one piece, or by offsets in several where it cannot hold them at once."""
    try:
        rows = landed.toArrow()
    except Py4JJavaError as problem:
        if TOO_MUCH not in str(problem):
            raise
    else:
        yield rows
        return
    first, last = landed.agg(F.min("offset"), F.max("offset")).collect()[0]
    middle = (first + last) // 2
    yield from pieces(landed.where(F.col("offset") <= middle))
    yield from pieces(landed.where(F.col("offset") > middle))
