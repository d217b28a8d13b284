"""User profiles: what is known of each user from all sessions."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.contracts.gold import USER_PROFILES
from pipelines.domain import Domain
from pipelines.gold.acts import UNKNOWN, by_name, mark, sum_of, tally
from pipelines.gold.catalog import named_values, versions, with_values


def user_profiles(sessions: DataFrame, items: DataFrame, domain: Domain, revision: int) -> DataFrame:
    """One row of gold.user_profiles for each user of the valid `sessions`.

    `favourites` names, for each category and tags attribute, the value whose items the user interacted with
    most often, the first in the alphabet among equals; values are those that silver.items had when the
    session began, and `unknown` is nobody's favourite.
    """
    marks = F.concat(
        F.array(mark("session", F.lit("session"))),
        _entries("counts", "kind"),
        _entries("revenue_minor", "revenue"),
    )
    seen = [F.min("session_start").alias("_first"), F.max("session_end").alias("_last")]
    known = (
        tally(sessions, ["user_id"], marks, seen)
        .groupBy("user_id")
        .agg(
            F.min("_first").alias("first_seen"),
            F.max("_last").alias("last_seen"),
            sum_of("kind").alias("events"),
            sum_of("session").alias("sessions"),
            by_name("kind").alias("counts"),
            by_name("revenue").alias("revenue_minor"),
        )
    )
    found = known.join(_favourites(sessions, items, domain), on="user_id", how="left")
    no_favourites = F.create_map().cast("map<string,string>")
    favourites = F.coalesce("favourites", no_favourites)
    return USER_PROFILES.conform(found.withColumns({"favourites": favourites, "revision": F.lit(revision)}))


def _entries(column: str, family: str) -> Column:
    return F.transform(F.map_entries(column), lambda entry: mark(family, entry["key"], entry["value"]))


def _favourites(sessions: DataFrame, items: DataFrame, domain: Domain) -> DataFrame:
    attributes = named_values(domain)
    touched = sessions.select(
        "user_id", F.col("session_start").alias("at"), F.explode("items_touched").alias("item_id", "times")
    )
    nothing = F.array().cast("array<struct<attribute:string,value:string>>")
    valued = with_values(touched, versions(items, domain, attributes), nothing)
    liked = valued.select("user_id", "times", F.explode("values").alias("liked")).where(
        F.col("liked.value") != UNKNOWN
    )
    counted = liked.groupBy("user_id", "liked.attribute", "liked.value").agg(F.sum("times").alias("times"))
    best = counted.groupBy("user_id", "attribute").agg(
        F.min_by("value", F.struct(-F.col("times"), "value")).alias("value")
    )
    entry = F.struct("attribute", F.coalesce("value", F.lit(UNKNOWN)))
    return best.groupBy("user_id").agg(
        F.map_from_entries(F.sort_array(F.collect_list(entry))).alias("favourites")
    )
