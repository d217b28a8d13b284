"""The watch of metrics as a stream: complete windows of gold.engagement become rows of gold.metric_verdicts,
once in effect. What a micro-batch made is kept with the state after it before any row is written, so a
process that is killed anywhere leaves what its successor needs."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.anomalies.known_events import KnownEvent, parse_calendar
from pipelines.anomalies.metric_watch import MINUTE_MS, Learnt, Row, ShopWatch, Window
from pipelines.contracts.gold import ENGAGEMENT
from pipelines.contracts.types import arrow_schema
from pipelines.contracts.watch import METRIC_VERDICTS
from pipelines.domain import Domain
from pipelines.errors import WatchError
from pipelines.features.columns import packed, unpacked
from pipelines.gold.metric_windows import metric_windows
from pipelines.io import checkpoints, delta, whole_file
from pipelines.settings import Settings

log = logging.getLogger("lakepulse.watch")
LIVE_MS = 60 * MINUTE_MS
"""Rows that are younger when they come tell that the shop's clock is ours."""
ALERT = ("metric", "segment", "direction", "value", "expected")
CHUNK = 2_016
"""Windows that are read at once."""


class Kept(msgspec.Struct):
    """The state after a micro-batch of a writer, and the rows that it is to write, as an Arrow stream."""

    writer: str = ""
    batch: int = -1
    learnt: Learnt = msgspec.field(default_factory=Learnt)
    rows: bytes = b""


def ticks(spark: SparkSession) -> DataFrame:
    """A row a second, with a null minute: windows become complete while nothing comes.

    The source knows no end of what is there. Without the wrapper a run over what is there would be a single
    micro-batch, after a kill only the one that was not finished.
    """
    spark.conf.set("spark.sql.streaming.triggerAvailableNowWrapper.enabled", "true")
    rate = spark.readStream.format("rate").option("rowsPerSecond", 1).load()
    return rate.select(F.lit(None).cast("timestamp").alias("minute"))


def arrivals(spark: SparkSession, settings: Settings) -> DataFrame:
    """What the watch must know of new rows of gold.engagement: their minutes."""
    return delta.stream(spark, settings, ENGAGEMENT).select("minute").unionAll(ticks(spark))


@dataclass(frozen=True)
class Watcher:
    """Everything that the query needs; `now_ms` is the clock."""

    settings: Settings
    domain: Domain
    now_ms: Callable[[], int]
    query: str

    @property
    def _where(self) -> str:
        return f"{checkpoints.location(self.settings, self.query)}.{self.domain.name}.state"

    def take(self, rows: DataFrame, batch: delta.Batch) -> int:
        """Judge what is complete now that these `arrivals` are here; how many windows that were."""
        spark = rows.sparkSession
        found = rows.agg(F.unix_millis(F.max("minute")).alias("newest")).collect()[0]["newest"]
        content = whole_file.read(self._where)
        kept = msgspec.msgpack.decode(content, type=Kept) if content else Kept()
        judged = 0
        if not (kept.writer == batch.writer and kept.batch >= batch.id):
            learnt = self._newest(kept.learnt, found)
            begins = self._complete(spark, learnt)
            if not begins and not batch.is_first and found is None:
                return 0  # a tick that changes nothing need not be kept
            kept, judged = self._after(learnt, begins, batch, spark), len(begins)
            whole_file.replace(self._where, msgspec.msgpack.encode(kept))
        if kept.rows:
            delta.append_rows_once(unpacked(kept.rows), METRIC_VERDICTS, self.settings, batch, spark)
        return judged

    def _newest(self, learnt: Learnt, found_ms: int | None) -> Learnt:
        if found_ms is None:
            return learnt
        newest = max(learnt.newest_ms, found_ms + MINUTE_MS)
        return msgspec.structs.replace(learnt, newest_ms=newest, is_live=self.now_ms() - newest < LIVE_MS)

    def _complete(self, spark: SparkSession, learnt: Learnt) -> range:
        """The beginnings of the windows that are complete and were not judged yet."""
        watch = self.settings.watch
        length = MINUTE_MS * watch.window_minutes
        if learnt.newest_ms < 0:
            return range(0)
        until = learnt.newest_ms - MINUTE_MS * watch.settle_minutes
        if learnt.is_live and watch.silence_minutes:
            until = max(until, self.now_ms() - MINUTE_MS * watch.silence_minutes)
        first = learnt.next_ms if learnt.next_ms >= 0 else (self._first(spark) or 0) // length * length
        return range(first, until // length * length, length)

    def _first(self, spark: SparkSession, since_ms: int = 0) -> int | None:
        """The first minute that has rows, from a time on; None when there is none."""
        since = _time(since_ms)
        rows = delta.read(spark, self.settings, ENGAGEMENT)
        later = rows.where((F.col("day") >= since.date()) & (F.col("minute") >= since))
        found = later.agg(F.unix_millis(F.min("minute")).alias("first")).collect()[0]["first"]
        return None if found is None else int(found)

    def _after(self, learnt: Learnt, begins: range, batch: delta.Batch, spark: SparkSession) -> Kept:
        try:
            shop, events = ShopWatch(self.domain.metrics, self.settings.watch, learnt), self._calendar()
        except WatchError as problem:
            raise WatchError(f"{problem} (what was learnt is in {self._where})") from None
        published = 60 * self.settings.watch.published_hours // self.settings.watch.window_minutes
        recent = begins[max(0, len(begins) - 1 - published)] if begins else 0
        rows: list[Row] = []
        for some, window in self._windows(spark, begins):
            rows += _judged(shop, some, window, events, recent)
        for row in rows:
            if row["alert"]:
                log.warning("%s@%s is %s: %s, expected %s", *(row[name] for name in ALERT))
        revision = delta.next_revision(spark, self.settings, METRIC_VERDICTS)
        written = packed(verdict_rows(rows, revision)) if rows else b""
        return Kept(batch.writer, batch.id, shop.remembered(), written)

    def _windows(self, spark: SparkSession, begins: range) -> Iterator[tuple[range, Window]]:
        """Beginnings of windows, in their order, and the numbers of each of these: of one, or of as many as
        there are without numbers."""
        place = 0
        while place < len(begins):
            chunk = begins[place : place + CHUNK]
            found = self._read(spark, chunk)
            place += len(chunk)
            if any(found.values()):
                step = begins.step
                yield from ((range(begin, begin + step, step), window) for begin, window in found.items())
                continue
            silent_until = self._first(spark, chunk.stop)
            ahead = len(begins) if silent_until is None else (silent_until - begins.start) // begins.step
            place = min(len(begins), max(place, ahead))
            yield range(chunk[0], begins.start + place * begins.step, begins.step), {}

    def _read(
        self, spark: SparkSession, chunk: range
    ) -> dict[int, dict[tuple[str, str], tuple[float, float]]]:
        first, end = (_time(ms) for ms in (chunk[0], chunk[-1] + chunk.step))
        rows = delta.read(spark, self.settings, ENGAGEMENT)
        inside = (F.col("minute") >= first) & (F.col("minute") < end)
        days = F.col("day").between(first.date(), end.date())
        valid = ENGAGEMENT.latest(rows.where(days & inside))
        found: dict[int, dict[tuple[str, str], tuple[float, float]]] = {begin: {} for begin in chunk}
        for row in metric_windows(valid, self.settings.watch.window_minutes).toArrow().to_pylist():
            found[row["begin_ms"]][row["metric"], row["segment"]] = (row["value"], row["exposure"])
        return found

    def _calendar(self) -> tuple[KnownEvent, ...]:
        given = self.settings.watch.calendar
        path = Path(given) if given else self.settings.state / "calendar.yml"
        if not given and not path.is_file():
            return ()
        return parse_calendar(path.read_text(encoding="utf-8"), str(path))


def _judged(
    shop: ShopWatch, begins: range, window: Window, events: Sequence[KnownEvent], recent: int
) -> Iterator[Row]:
    """Rows of windows that all have these numbers; of those before `recent`, of episodes alone."""
    for begin in begins:
        if not window and begin < recent and shop.is_still:
            until = min(begins.stop, recent)
            shop.silence(range(begin, until, begins.step))
            yield from _judged(shop, range(until, begins.stop, begins.step), window, events, recent)
            return
        for row in shop.judge(begin, window, events, every=begin >= recent):
            if begin >= recent or row["alert"] or row["ongoing"]:
                yield row


def verdict_rows(rows: list[Row], revision: int) -> pa.Table:
    """Rows of gold.metric_verdicts; numbers that are not known are null."""
    made = []
    for row in rows:
        begin, end = _time(row["begin_ms"]), _time(row["end_ms"])
        known = {
            name: None if value != value else value for name, value in row.items() if isinstance(value, float)
        }
        made.append(
            row
            | known
            | {"window_start": begin, "window_end": end, "day": begin.date(), "revision": revision}
        )
    schema = arrow_schema(METRIC_VERDICTS.schema)
    return pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in made], schema)


def _time(ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
