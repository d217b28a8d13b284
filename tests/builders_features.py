"""A small shop for tests of features: its domain, and rows of silver with what does not matter filled in."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema
from scipy.sparse import csr_matrix

from pipelines.contracts.gold import DECISION_OUTCOMES
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.contracts.table import Table
from pipelines.domain import Domain, parse_domain
from pipelines.features.carriers import EVERYTHING, ITEM, USER, VALUE
from pipelines.features.catalog import Catalog
from pipelines.features.definitions import Definitions, compile_definitions
from pipelines.features.hashing import hash_text, hash_texts
from pipelines.features.history import History, in_arrival_order
from pipelines.features.program import RING_OFFSET
from pipelines.features.replay import Probes, Replay
from pipelines.features.vectors import ALWAYS, Vectors
from pipelines.models.behaviour_space import covisits
from pipelines.models.text_space import text_space, unit

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOW = 19_700 * DAY  # ms; a midnight in 2023
Row = dict[str, Any]

SHOP = """
name: corner shop
records:
  - kind: interaction
    fields: {event_id: id, event_time: t, event_type: type, user_id: user}
attributes:
  price: {kind: number}
  brand: {kind: category}
  tags: {kind: tags}
  title: {kind: text}
  image: {kind: vector, length: 3}
event_types:
  view: {reward: 0.1}
  click: {reward: 0.5}
  purchase: {reward: 1.0}
  search: {}
outcomes: {window_minutes: 30, gains: {click: 1, purchase: 2}}
vectors:
  text: {of: [title, tags], size: 3}
  behaviour: {of: [click], size: 3}
  image: {of: image, size: 2}
  covisits: {of: [click], keep: 3}
features:
"""
EVERY_KIND = """
  - {name: price, kind: attribute, of: price}
  - {name: clicks, kind: count, of: click, by: item, window: [5min, 1h, 2d, 30d, all]}
  - {name: shown, kind: count, of: shown, by: item, log: true}
  - {name: lists, kind: count, of: decision, by: user, window: 1h}
  - {name: clicks_at_all, kind: count, of: click, by: all, window: 1d}
  - {name: tag_clicks, kind: count, of: click, by: tags, aggregate: [mean, max, min, sum]}
  - {name: seen, kind: count, of: shown, by: [user, item], slots: 8}
  - {name: brand_views, kind: count, of: view, by: [user, brand], window: 1h, slots: 8}
  - {name: click_rate, kind: rate, of: click, by: item}
  - {name: buyers, kind: rate, of: purchase, per: [view, click], by: brand, window: 1d, smooth: 0}
  - {name: since_click, kind: recency, of: click, by: user}
  - {name: since_sale, kind: recency, of: purchase, by: item}
  - {name: likes_tags, kind: preference, of: click, by: tags, aggregate: [mean, max], slots: 8}
  - {name: brand_value, kind: learned, of: [shown, view, click, purchase], by: brand, slots: 8}
  - {name: taste, kind: taste, of: [click, purchase], attribute: price, log: true, measure: [distance, lean]}
  - {name: like_latest, kind: similarity, of: click, attribute: tags, last: 4, aggregate: [mean, max]}
  - {name: position, kind: position, fixed: 3}
  - {name: hour, kind: time, cycle: day, wave: [sin, cos]}
  - {name: like_text, kind: vector_similarity, space: text, of: click, last: 4, aggregate: [mean, max]}
  - {name: like_behaviour, kind: vector_similarity, space: behaviour, of: [click, view], last: 4}
  - {name: like_image, kind: vector_similarity, space: image, of: click, last: 2, aggregate: max}
  - {name: goes_with, kind: covisited, of: click, last: 4, aggregate: [sum, max]}
  - {name: answers, kind: query_match, measure: [bm25, cosine]}
  - {name: has_image, kind: has_vector, space: image}
  - {name: revenue, kind: sum, of: purchase, number: price, by: user, window: 30d, log: true}
  - {name: usual_price, kind: mean, of: [click, purchase], number: price, by: brand, window: 1d}
  - {name: visitors, kind: distinct, of: click, what: user, by: item, window: [1h, all]}
  - {name: my_brands, kind: distinct, of: click, what: brand, by: user}
  - {name: heat, kind: trend, of: click, by: item, window: 1h, against: 1d}
  - {name: looked_at_rate, kind: rate, of: click, by: item, prior: brand, place_power: 0.5}
  - {name: fading, kind: learned, of: [click, purchase], by: tags, half_life: 1d, slots: 8}
  - {name: price_now, kind: relative, of: click, attribute: price, last: 4, measure: [ratio, share_below]}
  - {name: visit, kind: session, measure: [acts, length, pause, dwell]}
  - {name: searches, kind: count, of: search, by: session}
  - {name: seen_now, kind: count, of: shown, by: [session, item], slots: 8}
  - {name: brand_now, kind: count, of: click, by: [session, brand], slots: 8}
  - {name: asked_before, kind: count, of: decision, by: query, slots: 16}
  - {name: answer_rate, kind: rate, of: click, by: [query, item], slots: 4}
  - {name: brand_asked, kind: count, of: click, by: [query, brand], window: 1h, slots: 4}
  - {name: age, kind: age}
  - {name: since_first, kind: recency, of: view, by: item, since: first}
  - {name: new_user, kind: cold_start, of: [view, click], by: user, below: 3}
  - {name: price_in_list, kind: context, of: price, measure: [mean, std, zscore, rank, difference]}
  - {name: price_beside, kind: context, of: price, measure: [median, median_difference]}
  - {name: tags_in_list, kind: context, of: tags, measure: share}
  - {name: title, kind: attribute, of: title, measure: words}
  - {name: first_tag, kind: attribute, of: tags, measure: index, values: [red, blue, old]}
"""

TEXTS = {"title"}

_numbers = itertools.count()


def a_domain(features: str = EVERY_KIND) -> Domain:
    """The corner shop with these features, written as in a domain file."""
    return parse_domain(SHOP + features, "shop.yml")


def definitions_of(features: str = EVERY_KIND) -> Definitions:
    return compile_definitions(a_domain(features))


def an_event(**fields: Any) -> Row:
    """A row of silver.events: a click of ann on i1, a minute past NOW; it arrives when it happens."""
    n = next(_numbers)
    row = {
        "event_id": f"e{n}",
        "event_type": "click",
        "user_id": "ann",
        "item_id": "i1",
        "event_time": NOW + MINUTE,
    }
    return _arriving(row | fields, n)


def a_decision(**fields: Any) -> Row:
    """A row of silver.decisions: ann is shown i1, i2 and i3 at NOW; it arrives when it is made."""
    n = next(_numbers)
    row = {"decision_id": f"d{n}", "user_id": "ann", "items": ["i1", "i2", "i3"], "event_time": NOW}
    return _arriving(row | fields, n)


def an_item(item_id: str = "i1", since: int = 0, **attributes: Any) -> Row:
    """A row of silver.items: known since 1970 unless told; attributes go where their type belongs."""
    by_type: dict[str, type] = {"numbers": float, "categories": str, "tags": list}
    sorted_in = {
        column: {n: v for n, v in attributes.items() if isinstance(v, t)} for column, t in by_type.items()
    }
    texts = {name: sorted_in["categories"].pop(name) for name in TEXTS & attributes.keys()}
    return {"item_id": item_id, "valid_from": since, "texts": texts, "vectors": {}} | sorted_in


def _arriving(row: Row, n: int) -> Row:
    return {"topic": "interactions", "partition": 0, "offset": n, "arrived_at": row["event_time"]} | row


def table(contract: Table, rows: Sequence[Row]) -> pa.Table:
    """Rows as Arrow in the contract's types; times are given in ms."""
    schema = to_arrow_schema(contract.schema, timezone="UTC")
    zone = datetime.UTC
    times = [f.name for f in schema if pa.types.is_timestamp(f.type)]
    moment = {k: None for k in times}
    plain = []
    for row in rows:
        at = {
            k: datetime.datetime.fromtimestamp(0, zone) + datetime.timedelta(milliseconds=row[k])
            for k in times
            if row.get(k) is not None
        }
        plain.append({f.name: _plain(row.get(f.name)) for f in schema} | moment | at)
    return pa.Table.from_pylist(plain, schema=schema)


def _plain(value: Any) -> Any:
    return list(value.items()) if isinstance(value, dict) else value


def a_history(rows: Sequence[Row], definitions: Definitions) -> History:
    """Events and decisions, in arrival order."""
    events, decisions = silver(rows)
    return in_arrival_order(events, decisions, definitions.events)


def silver(rows: Sequence[Row]) -> tuple[pa.Table, pa.Table]:
    """(silver.events, silver.decisions) of mixed rows."""
    events = [row for row in rows if "event_id" in row]
    return table(EVENTS, events), table(
        DECISIONS, [row for row in rows if "decision_id" in row and "items" in row]
    )


def some_vectors(items: Sequence[str] = tuple(f"i{n}" for n in range(9))) -> Vectors:
    """Vectors of these items, made up but the same every time: the last item has none, the others change
    their behaviour and their neighbours at NOW."""
    keys = np.sort(hash_texts(pa.array(items)))
    chance, shape = np.random.default_rng(len(items)), (keys.size, 3)
    made_up = [chance.normal(size=shape) * (keys != hash_text(items[-1]))[:, None] for _ in range(4)]
    liked, shown = (csr_matrix(chance.random((9, keys.size)) < share) for share in (0.4, 0.9))
    neighbours = covisits(liked, shown, smooth=2.0, keep=3)
    no_neighbours = np.zeros_like(neighbours.starts)
    terms = [[item, "red", *["shoe"] * (n % 3)] for n, item in enumerate(items)]
    return Vectors(
        about='{"spaces": {}}',
        item_keys=keys,
        blocks=np.array([ALWAYS, NOW]),
        image=unit(made_up[1][:, :2]),
        behaviour=unit(np.stack(made_up[2:])),
        pair_starts=np.stack([no_neighbours, neighbours.starts]),
        pair_items=neighbours.items,
        pair_scores=neighbours.scores,
        **vars(text_space(terms, [], 3, 100, seed=1)),
    )


def a_replay(definitions: Definitions, items: Sequence[Row] = (), vectors: Vectors | None = None) -> Replay:
    catalog = Catalog(definitions, vectors or some_vectors())
    catalog.learn(table(ITEMS, items))
    return Replay(definitions, catalog)


def records_of(replay: Replay) -> dict[bytes, bytes]:
    """Every record of a replay by its key, without those in which nothing happened."""
    catalog, states = replay.catalog, replay.states
    parts = (
        (EVERYTHING, np.zeros(1, np.int64), states.everything),
        (ITEM, catalog.items.keys(), states.items),
        (VALUE, catalog.values.keys(), states.values),
        (USER, replay.users.keys(), states.users),
    )
    return {
        scope + int(key).to_bytes(8, "big", signed=True): words[row].tobytes()
        for scope, keys, words in parts
        for row, key in enumerate(keys)
        if words[row].any()
    }


def a_user_record(definitions: Definitions, item: int) -> bytes:
    """The stored record of a user of whom only the latest item is known, by its hash."""
    row = np.zeros(definitions.layouts.user.itemsize // 8, np.int64)
    ring = definitions.program.rings[0][RING_OFFSET]
    row[ring], row[ring + 1] = 1, item
    return bytes.fromhex(definitions.layouts.hash) + row.tobytes()


def replayed(
    rows: Sequence[Row], features: str = EVERY_KIND, items: Sequence[Row] = (), vectors: Vectors | None = None
) -> tuple[Replay, Probes]:
    """A replay of the rows, and what it read for their decisions."""
    definitions = definitions_of(features)
    replay = a_replay(definitions, items, vectors)
    return replay, replay.advance(a_history(rows, definitions))


def read_last(
    rows: Sequence[Row], features: str, items: Sequence[Row] = (), vectors: Vectors | None = None
) -> dict[str, list[float]]:
    """What the last decision's candidates have, by feature."""
    replay, probes = replayed(rows, features, items, vectors)
    found = probes.features[probes.starts[-2] : probes.starts[-1]]
    return {name: found[:, i].tolist() for i, name in enumerate(replay.definitions.names)}


def outcomes_of(decisions: Sequence[Row], happened: dict[tuple[str, str], float]) -> pa.Table:
    """gold.decision_outcomes of the decisions: the label of what happened, 0 of everything else."""
    rows = [
        {
            "decision_id": d["decision_id"],
            "item_id": item,
            "label": happened.get((d["decision_id"], item), 0.0),
        }
        for d in decisions
        for item in dict.fromkeys(d["items"])
    ]
    return table(DECISION_OUTCOMES, rows)
