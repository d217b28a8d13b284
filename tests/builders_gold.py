"""Rows of silver for tests of gold: what a test does not name gets a harmless value."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from pipelines.contracts import silver
from pipelines.contracts.table import Table
from pipelines.domain import Domain, parse_domain

START = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
Row = dict[str, Any]

SHOP = """
name: corner
records:
  - kind: interaction
    fields: {event_id: id, event_time: time, event_type: type, user_id: user}
attributes:
  category: {kind: category}
  tags: {kind: tags}
  price: {kind: number}
event_types:
  search: {requires: [query]}
  view: {requires: [item_id]}
  click: {requires: [item_id]}
  cart: {requires: [item_id]}
  purchase: {requires: [item_id, price_minor]}
  login_failed: {}
outcomes:
  window_minutes: 30
  gains: {click: 1, cart: 2, purchase: 3}
metrics:
  - {name: events, count: any}
  - {name: active_users, distinct: user_id}
  - {name: searches, count: search}
  - {name: lists, count: decision}
  - {name: shown, count: shown}
  - {name: clicks, count: click}
  - {name: click_through, ratio: [clicks, shown]}
  - {name: revenue, sum: revenue, of: [purchase]}
segments: [source, category, tags]
features: []
"""


def a_shop(text: str = SHOP) -> Domain:
    """A small shop with every kind of metric and segment."""
    return parse_domain(text, "corner.yml")


def at(minutes: float) -> datetime.datetime:
    """A time so many minutes after the tests' noon, 2026-03-01 12:00 UTC."""
    return START + datetime.timedelta(minutes=minutes)


def an_event(minutes: float, event_type: str = "view", user_id: str = "ann", **given: Any) -> Row:
    """An interaction at `at(minutes)`."""
    return {"event_time": at(minutes), "event_type": event_type, "user_id": user_id} | given


def a_decision(minutes: float, items: Iterable[str] = ("shoe",), user_id: str = "ann", **given: Any) -> Row:
    """A list shown at `at(minutes)`."""
    return {"event_time": at(minutes), "items": list(items), "user_id": user_id} | given


def an_item(
    item_id: str, minutes: float = -1e6, category: str | None = None, tags: Iterable[str] = (), **given: Any
) -> Row:
    """A version of an item, valid from `at(minutes)`."""
    categories = {"category": category} if category else {}
    return {
        "item_id": item_id,
        "valid_from": at(minutes),
        "categories": categories,
        "tags": {"tags": list(tags)},
    } | given


def rows_of(table: Table, rows: Iterable[Row]) -> pa.Table:
    """The rows as Arrow, with ids, dates and coordinates where they are not given."""
    from pyspark.sql.pandas.types import to_arrow_schema

    complete = [_completed(table, row, number) for number, row in enumerate(rows)]
    columns = {name: [row.get(name) for row in complete] for name in table.schema.fieldNames()}
    return pa.table(columns, schema=to_arrow_schema(table.schema, timezone="UTC"))


def _completed(table: Table, row: Row, number: int) -> Row:
    when = row[table.event_time or ""]
    topic = "catalog" if table is silver.ITEMS else "interactions"
    given = {
        "topic": topic,
        "partition": 0,
        "offset": number,
        "arrived_at": when,
        "schema_version": 1,
        "is_late": False,
    }
    given |= {"event_date": when.date(), "properties": {}, "numbers": {}, "texts": {}, "vectors": {}}
    return (
        given
        | {"event_id": f"e{number}", "decision_id": None if table is silver.EVENTS else f"d{number}"}
        | row
    )


def events(spark: SparkSession, *rows: Row) -> DataFrame:
    """A frame of silver.events."""
    return spark.createDataFrame(rows_of(silver.EVENTS, rows), silver.EVENTS.schema)


def decisions(spark: SparkSession, *rows: Row) -> DataFrame:
    """A frame of silver.decisions."""
    return spark.createDataFrame(rows_of(silver.DECISIONS, rows), silver.DECISIONS.schema)


def items(spark: SparkSession, *rows: Row) -> DataFrame:
    """A frame of silver.items."""
    return spark.createDataFrame(rows_of(silver.ITEMS, rows), silver.ITEMS.schema)


def a_history(seed: int, rows: int, hours: float = 30.0) -> tuple[list[Row], list[Row], list[Row]]:
    """Random interactions, decisions and item versions of few users and items over some hours, in no order,
    with gaps left unknown.

    Times are whole seconds, so that pauses of exactly the session gap and rows of the same time do occur.
    """
    chance = np.random.default_rng(seed)
    kinds = ["search", "view", "click", "cart", "purchase", "login_failed"]
    minutes = np.round(chance.uniform(0, hours * 60, rows) * 6) / 6
    lists = [
        a_decision(
            float(minute),
            [f"i{n}" for n in chance.choice(12, 5, replace=False)],
            f"u{chance.integers(8)}",
            decision_id=f"d{number}",
            source=str(chance.choice(["web", "mobile"])),
        )
        for number, minute in enumerate(minutes[: rows // 4])
    ]
    done = [
        _an_act(chance, number, float(minute), kinds, lists)
        for number, minute in enumerate(minutes[rows // 4 :])
    ]
    versions = [
        an_item(
            f"i{n}",
            float(since),
            str(chance.choice(["hat", "shoe"])),
            chance.choice(["new", "red", "old"], 2, replace=False),
        )
        for n in range(10)
        for since in (-60, chance.integers(int(hours * 60)))
    ]
    return done, lists, versions


def _an_act(
    chance: np.random.Generator, number: int, minute: float, kinds: list[str], lists: list[Row]
) -> Row:
    kind = str(chance.choice(kinds))
    row = an_event(
        minute, kind, f"u{chance.integers(8)}", event_id=f"e{number}", session_id=f"s{chance.integers(3)}"
    )
    row["source"] = [None, "web", "mobile"][chance.integers(3)]
    row["device_id"] = f"dev{chance.integers(3)}"
    if kind not in ("search", "login_failed"):
        row["item_id"] = f"i{chance.integers(12)}"
    if kind == "purchase":
        row |= {
            "price_minor": int(chance.integers(1, 5000)),
            "currency": "EUR",
            "quantity": int(chance.integers(1, 4)),
        }
    if kind in ("click", "cart") and chance.random() < 0.7:
        origin = lists[chance.integers(len(lists))]
        later = datetime.timedelta(minutes=int(chance.integers(-5, 45)))
        row |= {"decision_id": origin["decision_id"], "item_id": str(chance.choice(origin["items"]))}
        row |= {"event_time": origin["event_time"] + later, "user_id": origin["user_id"]}
    return row
