"""What an audit looks at, read from the lake: by this process where a table is here and not large, otherwise
by Spark."""

from __future__ import annotations

from collections.abc import Sequence

import deltalake
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from pipelines.contracts.table import Table
from pipelines.contracts.types import named_types
from pipelines.io import delta, lake, parts
from pipelines.session import Lender
from pipelines.settings import Settings
from pipelines.silver.accounts import LANDED, SORTED, accounts_sql

MOST = 2_000_000
"""Stored rows up to which this process reads a table of a local lake for an audit."""

Frame = pd.DataFrame | DataFrame


def valid_rows(settings: Settings, table: Table, spark: Lender) -> Frame:
    """The table's valid rows, or all that is stored where columns of the contract are missing. Read by this
    process, lists and maps come as the text `given`."""
    has_all = set(table.schema.names) <= set(_stored_types(settings, table, spark))
    if parts.is_here(settings, table) and lake.stored_rows(settings, table) <= MOST:
        found = lake.rows(settings, table, table.schema.names) if has_all else _stored(settings, table)
        return _as_pandas(found)
    stored = delta.read(spark(), settings, table)
    return table.latest(stored) if has_all else stored


def columns(settings: Settings, tables: Sequence[Table], spark: Lender) -> pd.DataFrame:
    """One row for each column that a contract promises or a table has: `promised` and `stored` name it with
    its type; a column that one side lacks is named there without a type."""
    rows = []
    for table in tables:
        promised, stored = named_types(table.schema), _stored_types(settings, table, spark)
        rows += [
            tuple(f"{table.name}.{name} {side.get(name, 'missing')}" for side in (promised, stored))
            for name in dict.fromkeys((*promised, *stored))
        ]
    return pd.DataFrame(rows, columns=["promised", "stored"])


def accounts(settings: Settings, spark: Lender) -> Frame:
    """How many rows landed and how many were sorted, for each topic and partition."""
    tables = (*LANDED, *SORTED)
    if all(parts.is_here(settings, table) for table in tables):
        return lake.query(settings, accounts_sql(lambda table: table.name))
    frames = {_short(table): delta.read(spark(), settings, table) for table in tables}
    return spark().sql(accounts_sql(lambda table: f"{{{_short(table)}}}"), **frames)  # type: ignore[arg-type]


def _short(table: Table) -> str:
    return table.name.replace(".", "_")


def _stored_types(settings: Settings, table: Table, spark: Lender) -> dict[str, str]:
    if not parts.is_here(settings, table):
        return named_types(delta.read(spark(), settings, table).schema)
    return named_types(deltalake.DeltaTable(delta.ensure_local(settings, table)).schema().to_json())


def _stored(settings: Settings, table: Table) -> pa.Table:
    return deltalake.DeltaTable(delta.ensure_local(settings, table)).to_pyarrow_table()


def _as_pandas(rows: pa.Table) -> pd.DataFrame:
    """Nulls stay nulls; a number that is none is more than any other, as it is for Spark."""
    seen = {}
    for field, column in zip(rows.schema, rows.columns, strict=True):
        if pa.types.is_nested(field.type):
            given = pa.scalar("given", pa.string())
            column = pc.if_else(column.is_valid(), given, pa.scalar(None, pa.string()))
        elif pa.types.is_floating(field.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(float("inf"), field.type), column)
        seen[field.name] = column
    frame: pd.DataFrame = pa.table(seen).to_pandas(date_as_object=False)
    return frame
