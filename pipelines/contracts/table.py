"""What every table contract says, and how its rows are checked against it."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from pipelines.errors import ContractError


@dataclass(frozen=True)
class Table:
    """A table of the lake: `<layer>.<name>`, its schema, and what identifies a row.

    `key` identifies a row; where `revisioned`, several revisions of a key may be stored and the highest
    `revision` is the valid one. Where the schema has `is_removed`, a highest revision that carries it says
    that the key has no valid row any more. `partition_by` are columns of the schema. `event_time` names the
    column by which files are skipped. Where `bounds` are given, the least and greatest values of a file are
    kept for these columns alone: for all of them they cost a sixth of what landing costs. What audits check
    beside that: `required` columns are never null (no key column ever is), `ranges` gives (column, least,
    greatest) where null means no limit.
    """

    name: str
    schema: StructType
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    event_time: str | None = None
    revisioned: bool = False
    bounds: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    ranges: tuple[tuple[str, float | None, float | None], ...] = ()

    @property
    def properties(self) -> dict[str, str]:
        """What Delta is told when the table is created."""
        return {"delta.dataSkippingStatsColumns": ",".join(self.bounds)} if self.bounds else {}

    def columns(self) -> list[Column]:
        """The columns of the contract with their types: the last `select` of every function that makes this
        table's rows."""
        return [F.col(f.name).cast(f.dataType).alias(f.name) for f in self.schema.fields]

    def conform(self, rows: DataFrame) -> DataFrame:
        """`rows` with exactly the columns and types of the contract. Raises ContractError that names what is
        missing."""
        missing = [f.name for f in self.schema.fields if f.name not in rows.columns]
        if missing:
            raise ContractError(
                f"rows for {self.name} lack {missing}: the function that makes them must select every column"
            )
        return rows.select(*self.columns())

    def latest(self, rows: DataFrame) -> DataFrame:
        """The valid rows: of each key the highest revision, unless that removed it; `rows` unchanged where
        there are no revisions."""
        if not self.revisioned:
            return rows
        names = self.schema.fieldNames()
        newest = F.max_by(
            F.struct(*(name for name in names if name not in self.key)), F.col("revision")
        ).alias("newest")
        found = rows.groupBy(*self.key).agg(newest).select(*self.key, "newest.*").select(*names)
        return found.where(~F.col("is_removed")) if "is_removed" in names else found
