"""The lake without Spark: counts, samples and SQL over a local installation's tables, for summaries, the
command line and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import deltalake
import duckdb
import pandas as pd
import pyarrow as pa

from pipelines.contracts import TABLES
from pipelines.contracts.table import Table
from pipelines.contracts.types import arrow_schema
from pipelines.errors import LakePulseError, nearest
from pipelines.io.checkpoints import is_local, local_path
from pipelines.settings import Settings


def location(settings: Settings, table: Table) -> str:
    """Where the table is, as delta-rs takes it."""
    where = f"{settings.lake.rstrip('/')}/{table.name.replace('.', '/')}"
    return str(local_path(where)) if is_local(where) else where


def _open(settings: Settings, table: Table) -> deltalake.DeltaTable | None:
    where = location(settings, table)
    return deltalake.DeltaTable(where) if deltalake.DeltaTable.is_deltatable(where) else None


def stored_rows(settings: Settings, table: Table) -> int:
    """Rows that the table stores, all revisions, from its log alone; 0 for a table that was never written."""
    opened = _open(settings, table)
    if opened is None:
        return 0
    return int(sum(pa.table(opened.get_add_actions(flatten=True))["num_records"].to_pylist()))


def version(settings: Settings, table: Table) -> int | None:
    """The table's newest version; None for a table that was never written."""
    opened = _open(settings, table)
    return None if opened is None else int(opened.version())


def relation(
    connection: duckdb.DuckDBPyConnection, settings: Settings, table: Table, version: int | None = None
) -> duckdb.DuckDBPyRelation:
    """The table's valid rows (of each key the latest revision, unless that removed it) as a relation, at a
    version when one is given; empty for a table that was never written."""
    opened = _open(settings, table)
    if opened and version is not None:
        opened.load_as_version(version)
    empty = deltalake.Schema.from_json(table.schema.json()).to_arrow()
    rows = connection.from_arrow(opened.to_pyarrow_dataset() if opened else pa.schema(empty).empty_table())
    if not table.revisioned:
        return rows
    key = ", ".join(table.key)
    newest = f"row_number() OVER (PARTITION BY {key} ORDER BY revision DESC) = 1"
    kept = newest + (" AND NOT is_removed" if "is_removed" in table.schema.names else "")
    return rows.query("stored", f"SELECT * FROM stored QUALIFY {kept}")


def rows(
    settings: Settings,
    table: Table,
    columns: Sequence[str],
    where: tuple[str, str] | None = None,
    version: int | None = None,
) -> pa.Table:
    """Columns of a table's valid rows in any order, with the contract's types; of those rows alone whose
    column has this value, where a (column, value) is given."""
    types = arrow_schema(table.schema)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = relation(connection, settings, table, version)
        if where:
            found = found.filter(duckdb.ColumnExpression(where[0]) == duckdb.ConstantExpression(where[1]))
        read = found.select(*(duckdb.ColumnExpression(name) for name in columns)).to_arrow_table()
    return read.cast(pa.schema([types.field(name) for name in columns]))


def query(settings: Settings, sql: str, *values: str) -> pd.DataFrame:
    """Rows of an SQL query (DuckDB's dialect) in which tables are written as in `gold.sessions`; each `?`
    stands for one of `values`.

    Raises LakePulseError for a table that no contract names.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, table in TABLES.items():
            if name in sql:
                schema, _, short = name.partition(".")
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                view = f"_{schema}_{short}"
                relation(connection, settings, table).create_view(view)
                connection.execute(f"CREATE VIEW {schema}.{short} AS SELECT * FROM {view}")
        try:
            return connection.execute(sql, values).df()
        except duckdb.CatalogException as problem:
            raise LakePulseError(f"{problem}; the lake's tables are: {', '.join(TABLES)}") from None


def frame(settings: Settings, name: str) -> pd.DataFrame:
    """The valid rows of a table, as pandas. Raises LakePulseError for an unknown name, with the nearest known
    one."""
    if name not in TABLES:
        raise LakePulseError(f"no table {name!r} in the lake{nearest(name, list(TABLES))}")
    return query(settings, f"SELECT * FROM {name}")


def count(settings: Settings, name: str) -> int:
    """How many valid rows a table has."""
    table = TABLES[name]
    if not table.revisioned:
        return stored_rows(settings, table)
    found: Any = query(settings, f"SELECT count(*) AS n FROM {name}")["n"]
    return int(found[0])
