"""A part of a table for one process: read without Spark where that is possible, since Spark takes far longer
to hand lists of numbers over (figures in docs/decisions.md)."""

from __future__ import annotations

from collections.abc import Sequence

import deltalake
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.contracts.table import Table
from pipelines.contracts.types import arrow_schema
from pipelines.io import delta
from pipelines.io.checkpoints import is_local, local_path
from pipelines.settings import Settings


def local_part(settings: Settings, table: Table, part: tuple[str, str], columns: Sequence[str]) -> pa.Table:
    """Columns of the rows of one value of a partition column, (column, value), without Spark; no rows where
    the lake is not local or has no such table."""
    where = delta.path(settings, table)
    if not is_local(where) or not deltalake.DeltaTable.is_deltatable(str(local_path(where))):
        return arrow_schema(table.schema).empty_table().select(columns)
    return _rows(deltalake.DeltaTable(str(local_path(where))), part, columns)


def _rows(opened: deltalake.DeltaTable, part: tuple[str, str], columns: Sequence[str]) -> pa.Table:
    column, value = part
    return opened.to_pyarrow_dataset().to_table(columns=list(columns), filter=ds.field(column) == value)


def read_part(
    spark: SparkSession,
    settings: Settings,
    table: Table,
    part: tuple[str, str],
    columns: Sequence[str],
    *,
    most: int,
    version: int | None = None,
) -> pa.Table | DataFrame:
    """Columns of the rows of one value of a partition column, (column, value), at a version or the newest.

    They come as Arrow, without a Spark job, where the lake is local and they are `most` rows at most;
    otherwise as Spark's rows.
    """
    where, (column, value) = delta.path(settings, table), part
    delta.ensure(spark, settings, table)
    if is_local(where):
        opened = deltalake.DeltaTable(str(local_path(where)), version=version)
        files = pa.table(opened.get_add_actions(flatten=True))
        chosen = files.filter(pc.equal(files[f"partition.{column}"], value))
        if (pc.sum(chosen["num_records"]).as_py() or 0) <= most:
            return _rows(opened, part, columns)
    return delta.read(spark, settings, table, version).where(F.col(column) == value).select(*columns)
