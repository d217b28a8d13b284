"""Rows of the lake for one process: read and written without Spark where the lake is local, since a session
takes seconds to start and Spark far longer to hand lists of numbers over (figures in docs/decisions.md)."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.contracts.table import Table
from pipelines.contracts.types import arrow_schema
from pipelines.io import delta, lake
from pipelines.io.checkpoints import is_local, local_path
from pipelines.session import Lender
from pipelines.settings import Settings

Condition = tuple[str, str, Any]
"""(column, one of = > >= <= in, value)."""
COMPARED = {"=": operator.eq, ">": operator.gt, ">=": operator.ge, "<=": operator.le}
ROWS_AT_A_TIME = 512  # a row of features is large, and most rows of a file are not wanted


def is_here(settings: Settings, table: Table) -> bool:
    """Whether the table is on a disk of this machine."""
    return is_local(delta.path(settings, table))


def version(settings: Settings, table: Table, spark: Lender) -> int:
    """The table's newest version; a table that was never written is created."""
    if is_here(settings, table):
        return int(deltalake.DeltaTable(delta.ensure_local(settings, table)).version())
    return delta.version(spark(), settings, table)


def valid_rows(
    settings: Settings,
    table: Table,
    columns: Sequence[str],
    spark: Lender,
    *,
    where: tuple[str, str] | None = None,
    at: int | None = None,
) -> pa.Table:
    """Columns of the table's valid rows, at a version when one is given, in any order; of those rows alone
    whose column has this value, where a (column, value) is given."""
    if is_here(settings, table):
        return lake.rows(settings, table, columns, where, at)
    found = table.latest(delta.read(spark(), settings, table, at))
    return (found.where(F.col(where[0]) == where[1]) if where else found).select(*columns).toArrow()


def chosen_rows(
    settings: Settings, table: Table, columns: Sequence[str], spark: Lender, *conditions: Condition
) -> pa.Table:
    """Columns of the rows of a table without revisions that meet all conditions, in any order.

    A file is opened only where its partition and the least and greatest values that the table's log keeps of
    it allow such rows, and no more than the chosen rows are held in memory.
    """
    if is_here(settings, table):
        stored = deltalake.DeltaTable(delta.ensure_local(settings, table)).to_pyarrow_dataset()
        wanted = [_of_arrow(*condition) for condition in conditions]
        scanner = stored.scanner(
            columns=list(columns),
            filter=functools.reduce(operator.and_, wanted),
            batch_size=ROWS_AT_A_TIME,
            batch_readahead=2,
            fragment_readahead=1,
        )
        return scanner.to_table()
    found = delta.read(spark(), settings, table)
    for name, compared, value in conditions:
        column = F.col(name)
        found = found.where(column.isin(value) if compared == "in" else COMPARED[compared](column, value))
    return found.select(*columns).toArrow()


def newest(settings: Settings, table: Table, column: str, part: tuple[str, str], spark: Lender) -> Any:
    """The greatest value of a column in one value of a partition column, (column, value), from the table's
    log where that has it; None without rows."""
    name, value = part
    if not is_here(settings, table):
        rows = delta.read(spark(), settings, table).where(F.col(name) == value)
        return rows.select(column).agg(F.max(column).alias("newest")).toArrow()["newest"][0].as_py()
    opened = deltalake.DeltaTable(delta.ensure_local(settings, table))
    files = pa.table(opened.get_add_actions(flatten=True))
    if files.num_rows == 0:
        return None
    greatest = files.filter(pc.equal(files[f"partition.{name}"], value))[f"max.{column}"]
    if greatest.null_count:
        return pc.max(_rows(opened, part, [column])[column]).as_py()
    return pc.max(greatest).as_py()


def _of_arrow(name: str, compared: str, value: Any) -> ds.Expression:
    if compared == "in":
        return ds.field(name).isin(value)
    expression: ds.Expression = COMPARED[compared](ds.field(name), value)
    return expression


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
    settings: Settings,
    table: Table,
    part: tuple[str, str],
    columns: Sequence[str],
    spark: Lender,
    *,
    most: int,
    at: int | None = None,
) -> pa.Table | DataFrame:
    """Columns of the rows of one value of a partition column, (column, value), at a version or the newest.

    They come as Arrow, without a Spark job, where the lake is local and they are `most` rows at most;
    otherwise as Spark's rows.
    """
    column, value = part
    if is_here(settings, table):
        opened = deltalake.DeltaTable(delta.ensure_local(settings, table), version=at)
        files = pa.table(opened.get_add_actions(flatten=True))
        chosen = files.filter(pc.equal(files[f"partition.{column}"], value))
        if (pc.sum(chosen["num_records"]).as_py() or 0) <= most:
            return _rows(opened, part, columns)
    return delta.read(spark(), settings, table, at).where(F.col(column) == value).select(*columns)


def append(rows: pa.Table, settings: Settings, table: Table, spark: Lender) -> None:
    """Append rows that belong to no micro-batch and have the contract's columns. The caller runs once."""
    if is_here(settings, table):
        delta.ensure_local(settings, table)
        delta.append_arrow(rows, table, settings, mark="")
    else:
        delta.append(spark().createDataFrame(rows, table.schema), table, settings)


def replace_part(
    rows: pa.Table, settings: Settings, table: Table, part: tuple[str, str], spark: Lender
) -> None:
    """Replace the rows that have one value in a partition column, (column, value), by `rows`, which all have
    that value."""
    column, value = part
    predicate = "{} = '{}'".format(column, value.replace("'", "''"))
    if not is_here(settings, table):
        made = spark().createDataFrame(rows, table.schema)
        delta.replace(made, table, settings, predicate)
        return
    folder = delta.ensure_local(settings, table)
    with delta.lock(settings, table):
        typed = rows.select(table.schema.names).cast(arrow_schema(table.schema))
        deltalake.write_deltalake(folder, typed, mode="overwrite", predicate=predicate)
