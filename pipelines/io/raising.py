"""A micro-batch of findings becomes rows of gold.alerts and messages to channels, once in effect: a process
that is killed anywhere leaves what its successor needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.anomalies.alert_rows import alert_rows, message, suppressed_rows, utc
from pipelines.anomalies.alerts import raise_incidents
from pipelines.anomalies.grouping import Carriers
from pipelines.anomalies.watched import Findings, Seen, watched
from pipelines.contracts.gold import OUTLIERS
from pipelines.contracts.watch import ALERTS, SUPPRESSED
from pipelines.features.columns import packed, unpacked
from pipelines.io import delta
from pipelines.io.alert_state import Kept, StateFile
from pipelines.io.deliveries import Deliveries, deliveries
from pipelines.io.reviewing import Said
from pipelines.settings import Settings

TABLES = {table.name: table for table in (ALERTS, SUPPRESSED)}


@dataclass(frozen=True)
class Raiser:
    """Everything that one query of alerts needs: how rows become findings, how many entities were seen with
    a link, where its state is, what people have said, who is told, and the clock (epoch ms)."""

    settings: Settings
    of_outliers: Findings
    of_drops: Findings
    seen: Seen
    file: StateFile
    said: Said
    deliveries: Deliveries
    now_ms: Callable[[], int]

    def take(self, rows: pa.Table, batch: delta.Batch, spark: SparkSession) -> int:
        """Take rows of `watched.arrivals`; how many they were."""
        kept = self.file.load()
        if not kept.is_after(batch.writer, batch.id):
            kept = self._after(kept, rows, batch)
            self.file.save(kept)
        for name, content in kept.rows.items():
            delta.append_rows_once(unpacked(content), TABLES[name], self.settings, batch, spark)
        for one in kept.messages:
            self.deliveries.put(one)
        return int(rows.num_rows)

    def _after(self, before: Kept, rows: pa.Table, batch: delta.Batch) -> Kept:
        config, now = self.settings.alerts, self.now_ms()
        given = watched(rows, self.of_outliers, self.of_drops, self.seen, before.state, config)
        raised = raise_incidents(before.state, given, now, config, self.said.rules(now))
        tables = {
            ALERTS.name: alert_rows(raised.changed, now, config),
            SUPPRESSED.name: suppressed_rows(raised.suppressed, now),
        }
        written = {name: packed(found) for name, found in tables.items() if found.num_rows}
        messages = [message(notification, now, config) for notification in raised.notifications]
        return Kept(batch.writer, batch.id, raised.state, written, messages)


def raiser(
    settings: Settings,
    spark: SparkSession,
    query: str,
    findings: tuple[Findings, Findings],
    now_ms: Callable[[], int],
) -> Raiser:
    """What a query of that name needs; `findings` are of outliers and of drops."""
    seen, said = entities_seen(settings, spark), Said(settings, lambda: spark)
    return Raiser(settings, *findings, seen, StateFile(settings, query), said, deliveries(settings), now_ms)


def entities_seen(settings: Settings, spark: SparkSession) -> Seen:
    """How many entities gold.outliers has with each of some links since a time."""

    def seen(links: list[str], since_ms: int) -> Carriers:
        since = utc(since_ms)
        rows = delta.read(spark, settings, OUTLIERS)
        recent = rows.where((F.col("day") >= since.date()) & (F.col("window_start") >= since))
        entity = F.concat_ws("=", "entity", "entity_id").alias("entity")
        linked = recent.select(entity, F.explode("links").alias("kind", "value"))
        named = linked.select("entity", F.concat_ws("=", "kind", "value").alias("link"))
        counted = named.where(F.col("link").isin(links)).groupBy("link")
        found = counted.agg(F.countDistinct("entity").alias("entities")).collect()
        return {row["link"]: row["entities"] for row in found}

    return seen
