"""Columns of the lake's tables as Arrow, without a Spark job where the lake is local."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.contracts.table import Table
from pipelines.contracts.types import arrow_schema
from pipelines.io import delta
from pipelines.io.checkpoints import is_local, local_path
from pipelines.settings import Settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StoredRows:
    """What the tables of a lake hold now. A table that was never written has no rows."""

    def __init__(self, spark: SparkSession, settings: Settings) -> None:
        self._spark, self._settings = spark, settings

    def columns(
        self, table: Table, names: list[str], time: str | None = None, since_ms: int = 0, until_ms: int = 0
    ) -> pa.Table:
        """Columns of the table's rows; with `time`, of those whose time lies from `since_ms` to `until_ms`.

        Files and, where `time` is the table's event time, days outside of the span are not opened.
        """
        since, until = (_EPOCH + timedelta(milliseconds=ms) for ms in (since_ms, until_ms))
        days = [name for name in table.partition_by if name == "event_date" and time == table.event_time]
        local = self._local(table)
        if local is not None:
            field = pc.field
            wanted = None if time is None else (field(time) >= since) & (field(time) <= until)
            for day in days:
                wanted &= (field(day) >= since.date()) & (field(day) <= until.date())
            return (
                local.to_pyarrow_dataset().to_table(columns=names, filter=wanted).cast(_schema(table, names))
            )
        rows = delta.read(self._spark, self._settings, table)
        if time is not None:
            rows = rows.where(F.col(time).between(F.lit(since), F.lit(until)))
        for day in days:
            rows = rows.where(F.col(day).between(F.lit(since.date()), F.lit(until.date())))
        return rows.select(*names).toArrow()

    def greatest(self, table: Table, name: str) -> Any:
        """The greatest value of a column; None for a table without rows."""
        local = self._local(table)
        if local is not None:
            return pc.max(local.to_pyarrow_dataset().to_table(columns=[name])[name]).as_py()
        found = delta.read(self._spark, self._settings, table).agg(F.max(name)).first()
        return None if found is None else found[0]

    def _local(self, table: Table) -> deltalake.DeltaTable | None:
        where = delta.path(self._settings, table)
        if not is_local(where):
            return None
        delta.ensure(self._spark, self._settings, table)
        return deltalake.DeltaTable(str(local_path(where)))


def _schema(table: Table, names: list[str]) -> pa.Schema:
    whole = arrow_schema(table.schema)
    return pa.schema([whole.field(name) for name in names])
