"""Questions to silver's own tables: what a stream of silver must know again after a start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import reduce

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.contracts.silver import DECISIONS, EVENTS, IDENTITY, ITEMS, QUARANTINE
from pipelines.contracts.table import Table
from pipelines.contracts.types import arrow_schema
from pipelines.errors import ContractError
from pipelines.silver.arrival import Source
from pipelines.silver.known import EVERYTHING, KnownIds, identities

TABLES = (EVENTS, DECISIONS, ITEMS, QUARANTINE)
ID = {EVENTS.name: "event_id", DECISIONS.name: "decision_id", ITEMS.name: "item_id"}
"""Table → the column that names what a row is about."""

Read = Callable[[Table], DataFrame]
Place = tuple[str, int, int]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_LISTED = 1000  # ids that a query names; more are joined


def newest_ms(rows: DataFrame, table: Table) -> int | None:
    """The highest event time of a table; None when it has no row."""
    newest = rows.agg(F.max(F.unix_millis(_time(table)))).first()
    return None if newest is None or newest[0] is None else int(newest[0])


def known_ids(read: Read, table: Table, within_ms: int | None) -> KnownIds:
    """The ids of a table's rows: all of them, or with `within_ms` those of twice that time before the newest row.

    Twice, so that every row that is not late finds all ids of the `within_ms` before its own event time.
    """
    rows, horizon = read(table), EVERYTHING
    newest = newest_ms(rows, table)
    if newest is None:
        return KnownIds()
    if within_ms is not None:
        horizon = newest - 2 * within_ms
        rows = rows.where(_since(table, horizon))
    asked = rows.select(F.col(ID[table.name]).alias("id"), F.unix_millis(_time(table)).alias("time_ms"))
    found = asked.mapInArrow(_identified, IDENTITY).toArrow()
    known = KnownIds(horizon)
    known.add(found["number"].to_numpy(), found["time_ms"].to_numpy())
    return known


def _identified(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    schema = arrow_schema(IDENTITY)
    for batch in batches:
        yield pa.RecordBatch.from_arrays([pa.array(identities(batch["id"])), batch["time_ms"]], schema=schema)


def event_times(read: Read, table: Table, ids: list[str], least_ms: int, greatest_ms: int) -> dict[str, list[int]]:
    """Event times, by id, of a table's rows with one of these ids, from `least_ms` to `greatest_ms`."""
    rows = read(table).where(_since(table, least_ms) & (F.col(_time(table)) <= _moment(greatest_ms)))
    name = ID[table.name]
    if len(ids) <= _MOST_LISTED:
        asked = rows.where(F.col(name).isin(ids))
    else:
        wanted = rows.sparkSession.createDataFrame(pa.table({name: pa.array(sorted(set(ids)), pa.string())}))
        asked = rows.join(F.broadcast(wanted), name, how="left_semi")
    found: dict[str, list[int]] = {}
    for row in asked.select(name, F.unix_millis(_time(table)).alias("ms")).collect():
        found.setdefault(row[name], []).append(row["ms"])
    return found


def newest_of_sources(read: Read, before: dict[Source, int]) -> dict[Source, int]:
    """The highest Kafka timestamp that silver holds of each source; of those in `before`, below that offset only."""
    rows = _coordinates(read)
    limits = pa.table(
        {
            "topic": pa.array([topic for topic, _ in before], pa.string()),
            "partition": pa.array([partition for _, partition in before], pa.int32()),
            "limit": pa.array(before.values(), pa.int64()),
        }
    )
    limit = F.broadcast(rows.sparkSession.createDataFrame(limits))
    earlier = rows.join(limit, ["topic", "partition"], how="left").where("limit is null or offset < limit")
    newest = earlier.groupBy("topic", "partition").agg(F.max(F.unix_millis("arrived_at")).alias("newest"))
    return {(row["topic"], row["partition"]): row["newest"] for row in newest.collect()}


def last_offsets(read: Read) -> dict[Source, int]:
    """The highest offset that silver holds of each source."""
    last = _coordinates(read).groupBy("topic", "partition").agg(F.max("offset").alias("last"))
    return {(row["topic"], row["partition"]): row["last"] for row in last.collect()}


def places(read: Read, first_ms: int, last_ms: int) -> set[Place]:
    """Topic, partition and offset of silver's rows with a Kafka timestamp from `first_ms` to `last_ms`."""
    arrived = F.col("arrived_at").between(_moment(first_ms), _moment(last_ms + 1))
    found = _coordinates(read).where(arrived).select("topic", "partition", "offset").toArrow()
    return set(zip(*(found[name].to_pylist() for name in ("topic", "partition", "offset")), strict=True))


def _coordinates(read: Read) -> DataFrame:
    frames = [read(table).select("topic", "partition", "offset", "arrived_at") for table in TABLES]
    return reduce(DataFrame.unionByName, frames)


def _since(table: Table, ms: int) -> Column:
    """Rows from a time on; names the partitions too, so that others are not opened."""
    since = F.col(_time(table)) >= _moment(ms)
    if "event_date" in table.partition_by:
        return since & (F.col("event_date") >= F.to_date(_moment(ms)))
    return since


def _moment(ms: int) -> Column:
    return F.lit(_EPOCH + timedelta(milliseconds=ms))


def _time(table: Table) -> str:
    if table.event_time is None:
        raise ContractError(f"{table.name} names no event time, but silver looks for repeats by it")
    return table.event_time
