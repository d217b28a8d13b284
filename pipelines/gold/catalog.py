"""The catalog as it was at a time: which attribute values an item had when something happened to it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipelines.domain import Domain
from pipelines.gold.acts import UNKNOWN

FOR_EVER = datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC)


def named_values(domain: Domain) -> list[str]:
    """The domain's attributes that have names as values: categories and tags."""
    return [name for name, attribute in domain.attributes.items() if attribute.kind in ("category", "tags")]


def versions(items: DataFrame, domain: Domain, attributes: Sequence[str]) -> DataFrame:
    """When each version of an item held, `valid_from` <= time < `valid_to`, and its values: columns item_id
    and `values`, a list of (attribute, value). A tags attribute has one entry per tag; an attribute without a
    value has the one entry `unknown`.
    """
    in_order = Window.partitionBy("item_id").orderBy("valid_from", "topic", "partition", "offset")
    valid_to = F.coalesce(F.lead("valid_from").over(in_order), F.lit(FOR_EVER))
    return items.select(
        "item_id", "valid_from", valid_to.alias("valid_to"), _values(domain, attributes).alias("values")
    )


def _values(domain: Domain, attributes: Sequence[str]) -> Column:
    return F.flatten(F.array(*(_entries(domain, name) for name in attributes)))


def _entries(domain: Domain, attribute: str) -> Column:
    if domain.attributes[attribute].kind == "tags":
        found = F.array_distinct(
            F.coalesce(F.try_element_at("tags", F.lit(attribute)), F.array().cast("array<string>"))
        )
    else:
        found = F.array_compact(F.array(F.try_element_at("categories", F.lit(attribute))))
    known = F.when(F.size(found) > 0, found).otherwise(F.array(F.lit(UNKNOWN)))
    return F.transform(
        known, lambda value: F.struct(F.lit(attribute).alias("attribute"), value.alias("value"))
    )


def with_values(rows: DataFrame, catalog: DataFrame, otherwise: Column) -> DataFrame:
    """`rows` (item_id, at, …) with the `values` that `catalog`, made from `versions`, had for their item at
    that time; `otherwise` for an item that the catalog does not know, or did not know yet."""
    known = catalog.withColumnRenamed("item_id", "_item_id")
    held = (F.col("at") >= F.col("valid_from")) & (F.col("at") < F.col("valid_to"))
    found = rows.join(known, (F.col("item_id") == F.col("_item_id")) & held, how="left")
    return found.withColumn("values", F.coalesce("values", otherwise)).drop(
        "_item_id", "valid_from", "valid_to"
    )
