"""Delta tables, as the rest of LakePulse reads, streams and writes them. Every write can be repeated.

A micro-batch can only be a repeat if it is the first after a start, and one checkpoint has one writer. So
each append carries `<query>:<checkpoint uuid>:<batch id>` as the commit's user metadata, and the first batch
of a run looks for it in the table's history, once. (Delta's own `txnAppId` reads the table's state at every
commit; figures in docs/decisions.md.)
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import deltalake
import pyarrow as pa
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming import StreamingQuery

from pipelines.alone import alone
from pipelines.contracts.table import Table
from pipelines.io import checkpoints
from pipelines.io.checkpoints import is_local, local_path
from pipelines.settings import Settings

QUERY_ID = "sql.streaming.queryId"
MARK = "userMetadata"


@dataclass(frozen=True)
class Batch:
    """A micro-batch: the query and checkpoint it belongs to, its number, and whether it is the first of this
    run."""

    writer: str
    id: int
    is_first: bool
    is_small: bool = False

    @property
    def mark(self) -> str:
        """What a commit of this batch carries as user metadata."""
        return f"{self.writer}:{self.id}"


def path(settings: Settings, table: Table) -> str:
    """The table's URI or folder."""
    return f"{settings.lake.rstrip('/')}/{table.name.replace('.', '/')}"


def exists(settings: Settings, table: Table, spark: SparkSession | None = None) -> bool:
    """Whether the table was created. A remote lake is asked through Spark."""
    where = path(settings, table)
    if is_local(where):
        return deltalake.DeltaTable.is_deltatable(str(local_path(where)))
    return bool(DeltaTable.isDeltaTable(spark or SparkSession.active(), where))


def ensure(spark: SparkSession, settings: Settings, table: Table) -> None:
    """Create the table with the contract's schema and partitioning unless it is there."""
    if exists(settings, table, spark):
        return
    where = path(settings, table)
    if is_local(where):
        ensure_local(settings, table)
        return
    with lock(settings, table):
        builder = DeltaTable.createIfNotExists(spark).location(where).addColumns(table.schema)
        for name, value in table.properties.items():
            builder = builder.property(name, value)
        if table.partition_by:
            builder = builder.partitionedBy(*table.partition_by)
        builder.execute()


def ensure_local(settings: Settings, table: Table) -> str:
    """The folder of a table of a local lake, created as `ensure` does unless it is there; without Spark."""
    folder = local_path(path(settings, table))
    if not deltalake.DeltaTable.is_deltatable(str(folder)):
        with lock(settings, table):
            folder.mkdir(parents=True, exist_ok=True)
            deltalake.DeltaTable.create(
                str(folder),
                schema=deltalake.Schema.from_json(table.schema.json()),
                mode="ignore",
                partition_by=list(table.partition_by) or None,
                configuration=table.properties,
            )
    return str(folder)


def read(spark: SparkSession, settings: Settings, table: Table, version: int | None = None) -> DataFrame:
    """All rows of the table, at a version when one is given. An empty table when nothing was written yet."""
    ensure(spark, settings, table)
    reader = spark.read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(path(settings, table))


def latest(spark: SparkSession, settings: Settings, table: Table) -> DataFrame:
    """The valid rows of a revisioned table: of each key the highest revision."""
    return table.latest(read(spark, settings, table))


def stream(spark: SparkSession, settings: Settings, table: Table, most_bytes: int | None = None) -> DataFrame:
    """Rows appended to the table, as they are appended; compaction and deletions are not rows.

    A micro-batch takes files of about `most_bytes` at most, where that is given, and one file at least.
    """
    ensure(spark, settings, table)
    reader = spark.readStream.format("delta").option("skipChangeCommits", "true")
    reader = reader.option("maxFilesPerTrigger", settings.streams.max_files_per_trigger)
    if most_bytes is not None:
        reader = reader.option("maxBytesPerTrigger", f"{most_bytes}b")
    return reader.load(path(settings, table))


def version(spark: SparkSession, settings: Settings, table: Table) -> int:
    """The table's newest version."""
    ensure(spark, settings, table)
    where = path(settings, table)
    if is_local(where):
        return int(deltalake.DeltaTable(str(local_path(where))).version())
    return int(DeltaTable.forPath(spark, where).history(1).collect()[0]["version"])


def next_revision(spark: SparkSession, settings: Settings, table: Table) -> int:
    """A revision that is higher than every one in the table, if all of them came from here and were written
    by one process at a time: the number of the table's next commit."""
    return version(spark, settings, table) + 1


def append(rows: DataFrame, table: Table, settings: Settings) -> None:
    """Append rows that belong to no micro-batch: a record of a decision, an audit. The caller runs once."""
    ensure(rows.sparkSession, settings, table)
    _append_with_spark(table.conform(rows), table, settings, mark="")


def append_once(rows: DataFrame, table: Table, settings: Settings, batch: Batch) -> int:
    """Append a micro-batch's rows unless an earlier run already did. Returns how many were written now."""
    ensure(rows.sparkSession, settings, table)
    if batch.is_first and _has_written(rows.sparkSession, settings, table, batch):
        return 0
    rows = table.conform(rows)
    if batch.is_small and is_local(path(settings, table)):
        return append_arrow(rows.toArrow(), table, settings, batch.mark)
    return _append_with_spark(rows, table, settings, batch.mark)


def append_part(settings: Settings, batch: Batch, rows: DataFrame, table: Table, is_small: bool) -> int:
    """As `append_once`, where the caller knows how big these rows of the batch are."""
    return append_once(rows, table, settings, dataclasses.replace(batch, is_small=is_small))


def append_rows_once(
    rows: pa.Table, table: Table, settings: Settings, batch: Batch, spark: SparkSession
) -> int:
    """As `append_once`, for rows that are already in this process and have the contract's columns."""
    ensure(spark, settings, table)
    if batch.is_first and _has_written(spark, settings, table, batch):
        return 0
    return append_rows(rows, table, settings, batch, spark)


def append_rows(rows: pa.Table, table: Table, settings: Settings, batch: Batch, spark: SparkSession) -> int:
    """Append rows of a micro-batch that are in this process; the caller knows that the table lacks them."""
    ensure(spark, settings, table)
    if is_local(path(settings, table)):
        return append_arrow(rows, table, settings, batch.mark)
    if rows.num_rows == 0:
        return 0
    return _append_with_spark(spark.createDataFrame(rows, table.schema), table, settings, batch.mark)


def append_arrow(rows: pa.Table, table: Table, settings: Settings, mark: str) -> int:
    """Append rows that are already in this process to a local table, without a Spark job. Nothing is
    committed for no rows."""
    if rows.num_rows == 0:
        return 0
    properties = deltalake.CommitProperties(custom_metadata={MARK: mark}) if mark else None
    with lock(settings, table):
        deltalake.write_deltalake(
            str(local_path(path(settings, table))), rows, mode="append", commit_properties=properties
        )
    return int(rows.num_rows)


def _append_with_spark(rows: DataFrame, table: Table, settings: Settings, mark: str) -> int:
    written = Observation()
    counted = rows.observe(written, F.count(F.lit(1)).alias("rows"))
    writer = counted.write.format("delta").mode("append").partitionBy(*table.partition_by)
    with lock(settings, table):
        (writer.option(MARK, mark) if mark else writer).save(path(settings, table))
    return int(written.get["rows"])


def landed_offsets(spark: SparkSession, settings: Settings, table: Table, topic: str) -> dict[int, int]:
    """Partition → the offset after the last one that a bronze table holds of a topic; empty for a table
    without rows of it."""
    rows = read(spark, settings, table).where(F.col("topic") == topic)
    last = rows.groupBy("partition").agg(F.max("offset").alias("last")).collect()
    return {row["partition"]: row["last"] + 1 for row in last}


def replace(rows: DataFrame, table: Table, settings: Settings, predicate: str) -> None:
    """Replace the table's rows for which `predicate` holds; every new row must fulfil it."""
    ensure(rows.sparkSession, settings, table)
    writer = table.conform(rows).write.format("delta").mode("overwrite").option("replaceWhere", predicate)
    with lock(settings, table):
        writer.save(path(settings, table))


def compact(spark: SparkSession, settings: Settings, table: Table) -> dict[str, Any]:
    """Fold the table's small files into large ones; readers and streams see the same rows. Returns Delta's
    own figures."""
    ensure(spark, settings, table)
    with lock(settings, table):
        done = DeltaTable.forPath(spark, path(settings, table)).optimize().executeCompaction().first()
    return dict(done["metrics"].asDict()) if done else {}


def _has_written(spark: SparkSession, settings: Settings, table: Table, batch: Batch) -> bool:
    """Whether this batch, or a later one of the same checkpoint, is in the table's history."""
    for mark in _marks(spark, settings, table):
        writer, _, number = (mark or "").rpartition(":")
        if writer == batch.writer:
            return int(number) >= batch.id
    return False


def _marks(spark: SparkSession, settings: Settings, table: Table) -> Iterator[str | None]:
    """User metadata of the table's commits, newest first."""
    where = path(settings, table)
    if is_local(where):
        yield from (commit.get(MARK) for commit in deltalake.DeltaTable(str(local_path(where))).history())
    else:
        yield from (
            row[MARK] for row in DeltaTable.forPath(spark, where).history().select(MARK).toLocalIterator()
        )


_threads: dict[str, threading.RLock] = {}


@contextlib.contextmanager
def lock(settings: Settings, table: Table) -> Iterator[None]:
    """Hold the table for one write. Delta on a local disk has no mutual exclusion between processes;
    elsewhere this does nothing."""
    where = path(settings, table)
    if not is_local(where):
        yield
        return
    lock_file = local_path(settings.lake) / "_locks" / f"{table.name}.lock"
    with _threads.setdefault(where, threading.RLock()), alone(lock_file):
        yield


Write = Callable[[DataFrame, Batch], int | None]
SMALL = 20_000
"""Rows of a micro-batch up to which one process writes it faster than a Spark job."""


def start(
    rows: DataFrame, write: Write, settings: Settings, query: str, *, trigger_ms: int, once: bool = False
) -> StreamingQuery:
    """Run `write(rows, batch)` for each micro-batch of a stream, under the checkpoint that has the query's
    name.

    `write` may return how many rows the batch had; the next batch is then expected to be of that size, and a
    small one is written without a Spark job. Raises OwnershipError when another process runs the query.
    """
    checkpoints.own(settings, query)
    seen: dict[str, int] = {}

    def each(frame: DataFrame, batch_id: int) -> None:
        context = frame.sparkSession.sparkContext
        context.setLocalProperty("spark.scheduler.pool", query.partition("/")[0])
        writer = f"{query}:{context.getLocalProperty(QUERY_ID)}"
        small = 0 <= seen.get("rows", -1) <= SMALL
        count = write(frame, Batch(writer, batch_id, is_first=not seen, is_small=small))
        seen["rows"] = -1 if count is None else count

    writer = rows.writeStream.queryName(query).foreachBatch(each)
    writer = writer.option("checkpointLocation", checkpoints.location(settings, query))
    writer = (
        writer.trigger(availableNow=True)
        if once
        else writer.trigger(processingTime=f"{trigger_ms} milliseconds")
    )
    try:
        return writer.start()
    except BaseException:
        checkpoints.disown(settings, query)
        raise
