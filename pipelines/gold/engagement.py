"""Engagement: the metrics a shop declares, per minute and segment."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.contracts.gold import ENGAGEMENT
from pipelines.domain import Domain, Metric
from pipelines.domain_checks import REVENUE
from pipelines.gold.acts import UNKNOWN, money, total
from pipelines.gold.catalog import versions, with_values

ALL = "all"


def engagement(
    events: DataFrame, decisions: DataFrame, items: DataFrame, domain: Domain, revision: int
) -> DataFrame:
    """The domain's metrics for each minute and segment of silver's events and decisions, as rows of
    gold.engagement.

    Segments: `all`; `source=<value>`; `<attribute>=<value>` with the values that silver.items had at that
    time, so that a row counts once in the segment of each of its tags. A missing value is `unknown`. Only
    what names an item belongs to a segment by attribute: see `has_item` for the metrics that are published
    there. A metric without a row is 0 (a ratio without a row had no exposure).
    """
    rows = _in_plain_segments(_happenings(events, decisions, domain), domain)
    if by_item(domain):
        rows = rows.unionByName(
            _in_item_segments(_happenings_with_item(events, decisions, domain), items, domain)
        )
    measured = rows.groupBy(F.date_trunc("minute", "at").alias("minute"), "segment", "by_item")
    measures = measured.agg(*(_measure(m).alias(m.name) for m in domain.metrics if not m.ratio))
    figure = F.explode(F.array(*(_figure(m, domain) for m in domain.metrics)))
    figures = measures.select("minute", "segment", figure.alias("figure")).where(F.col("figure").isNotNull())
    found = figures.select("minute", "segment", "figure.*")
    constants = {"day": F.to_date("minute"), "is_removed": F.lit(False), "revision": F.lit(revision)}
    return ENGAGEMENT.conform(found.withColumns(constants))


def by_item(domain: Domain) -> list[str]:
    """The item attributes by which the domain segments its metrics."""
    return [name for name in domain.segments if name != "source"]


def has_item(metric: Metric, domain: Domain) -> bool:
    """Whether a metric means something for a segment of items: it counts `any`, `shown`, distinct values, or
    event types that require an item; not decisions, whose lists have items of all kinds, nor event types that
    need no item, such as a search."""
    if metric.ratio:
        parts = {m.name: m for m in domain.metrics}
        return all(has_item(parts[name], domain) for name in metric.ratio)
    if metric.distinct or metric.count in ("any", "shown"):
        return True
    types = metric.of if metric.sum else (metric.count,)
    return all(
        name in domain.event_types and "item_id" in domain.event_types[name].requires for name in types
    )


def _fields(domain: Domain) -> list[str]:
    wanted = {m.distinct for m in domain.metrics if m.distinct} | {m.sum for m in domain.metrics if m.sum}
    return sorted(name for name in wanted if name != REVENUE)


def _interactions(events: DataFrame, domain: Domain) -> DataFrame:
    fields = [F.col(name).alias(f"field_{name}") for name in _fields(domain)]
    return events.select(
        F.col("event_time").alias("at"),
        "source",
        "item_id",
        F.col("event_type").alias("kind"),
        F.lit(0).cast("long").alias("decisions"),
        F.lit(0).cast("long").alias("shown"),
        money().alias(f"field_{REVENUE}"),
        *fields,
    )


def _lists(decisions: DataFrame, item_id: Column, shown: Column) -> DataFrame:
    return decisions.select(
        F.col("event_time").alias("at"),
        "source",
        item_id.alias("item_id"),
        F.lit(1).cast("long").alias("decisions"),
        shown.cast("long").alias("shown"),
    )


def _happenings(events: DataFrame, decisions: DataFrame, domain: Domain) -> DataFrame:
    lists = _lists(decisions, F.lit(None).cast("string"), F.size("items"))
    return _interactions(events, domain).unionByName(lists, allowMissingColumns=True)


def _happenings_with_item(events: DataFrame, decisions: DataFrame, domain: Domain) -> DataFrame:
    lists = _lists(decisions, F.explode("items"), F.lit(1))
    named = _interactions(events.where(F.col("item_id").isNotNull()), domain)
    return named.unionByName(lists, allowMissingColumns=True)


def _in_plain_segments(rows: DataFrame, domain: Domain) -> DataFrame:
    by_source = F.concat(F.lit("source="), F.coalesce("source", F.lit(UNKNOWN)))
    segments = [F.lit(ALL), *([by_source] if "source" in domain.segments else [])]
    return rows.withColumns({"segment": F.explode(F.array(*segments)), "by_item": F.lit(False)})


def _in_item_segments(rows: DataFrame, items: DataFrame, domain: Domain) -> DataFrame:
    names = by_item(domain)
    segments = F.transform("values", lambda value: F.concat_ws("=", value["attribute"], value["value"]))
    catalog = versions(items, domain, names).withColumn("values", segments)
    unknown = F.array(*(F.lit(f"{name}={UNKNOWN}") for name in names))
    valued = with_values(rows, catalog, unknown)
    return valued.withColumns({"segment": F.explode("values"), "by_item": F.lit(True)}).drop("values")


def _measure(metric: Metric) -> Column:
    """A metric's aggregate over a minute and segment; null or 0 where nothing of it happened."""
    if metric.count == "any":
        return F.count("kind")
    if metric.count == "decision":
        return F.sum("decisions")
    if metric.count == "shown":
        return F.sum("shown")
    if metric.count:
        return F.count(F.when(F.col("kind") == metric.count, True))
    if metric.distinct:
        return F.size(F.collect_set(f"field_{metric.distinct}"))
    counted = F.col("kind").isin(*metric.of) if metric.of else F.lit(True)
    return total(F.when(counted, F.col(f"field_{metric.sum}").cast("long")))


def _figure(metric: Metric, domain: Domain) -> Column:
    """The published row of a metric (metric, value, exposure), null where there is nothing to publish."""
    if metric.ratio:
        numerator, denominator = (F.col(name).cast("long") for name in metric.ratio)
        value, exposure, happened = F.try_divide(numerator, denominator), denominator, denominator > 0
    else:
        value, exposure = F.col(metric.name).cast("double"), F.lit(None).cast("long")
        happened = F.col(metric.name) != 0
    made = F.struct(
        F.lit(metric.name).alias("metric"), value.cast("double").alias("value"), exposure.alias("exposure")
    )
    allowed = F.lit(True) if has_item(metric, domain) else ~F.col("by_item")
    return F.when(reduce(lambda a, b: a & b, [happened, allowed]), made)
