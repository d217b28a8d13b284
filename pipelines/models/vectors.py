"""The batch step: vectors of all items, from silver's items, events and decisions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from pipelines.domain import Domain
from pipelines.errors import TrainingError
from pipelines.features.columns import as_ms, entries
from pipelines.features.declarations import SHOWN
from pipelines.features.hashing import hash_texts
from pipelines.features.vectors import ALWAYS, Vectors
from pipelines.features.words import phrase, words
from pipelines.models.behaviour_space import (
    MOST_LIKED,
    MOST_SHOWN,
    Neighbours,
    Touches,
    behaviour_vectors,
    covisits,
)
from pipelines.models.text_space import leading, text_space, unit
from pipelines.sections import Vectors as VectorSettings
from pipelines.vector_spaces import VectorSpaces

Ints = NDArray[np.int64]
ITEM_COLUMNS = ("texts", "categories", "tags", "vectors")


@dataclass(frozen=True)
class Material:
    """What vectors are made of, as it was known at `until_ms`; rows in any order.

    `items`: item_id and ITEM_COLUMNS, one row an item. `touches`: user_id, item_id, event_type (`shown` for
    an item of a list) and arrived_at of its first time. `queries`: different texts.
    """

    items: pa.Table
    touches: pa.Table
    queries: pa.Array
    until_ms: int


def material(
    domain: Domain, until_ms: int, items: DataFrame, events: DataFrame, decisions: DataFrame
) -> Material:
    """What the domain's vectors need of silver's tables: what had arrived before `until_ms`, and items as
    they were then. Raises TrainingError for a domain without vectors."""
    spaces = _wanted(domain)
    until = F.timestamp_millis(F.lit(until_ms))
    place = F.struct("valid_from", "topic", "partition", "offset")
    newest = F.max_by(F.struct(*ITEM_COLUMNS), place).alias("newest")
    known = items.where(F.col("valid_from") < until).groupBy("item_id").agg(newest)
    events = events.where(F.col("arrived_at") < until)
    decisions = decisions.where(F.col("arrived_at") < until)
    acts = sorted({name for part in (spaces.behaviour, spaces.covisits) if part for name in part.of})
    key = ("user_id", "item_id", "event_type")
    done = events.where(F.col("event_type").isin(acts) & F.col("item_id").isNotNull())
    met = decisions.withColumn("item_id", F.explode("items")).withColumn("event_type", F.lit(SHOWN))
    touches = done.select(*key, "arrived_at").union(met.select(*key, "arrived_at"))
    first = touches.groupBy(*key).agg(F.min("arrived_at").alias("arrived_at"))
    asked = events.select("query").union(decisions.select("query")).where("query IS NOT NULL").distinct()
    return Material(
        known.select("item_id", "newest.*").toArrow(),
        first.toArrow(),
        asked.toArrow()["query"].combine_chunks(),
        until_ms,
    )


def build_vectors(found: Material, domain: Domain, settings: VectorSettings) -> Vectors:
    """The domain's vectors. The same material and settings give the same bytes, whatever the order of rows.

    Raises TrainingError for a domain without vectors and for an image of the wrong length.
    """
    with threadpool_limits(1):  # sums that threads share depend on how many they are
        return _built(found, domain, _wanted(domain), settings)


def _built(found: Material, domain: Domain, spaces: VectorSpaces, settings: VectorSettings) -> Vectors:
    touched = hash_texts(found.touches["item_id"])
    item_keys = np.unique(np.append(hash_texts(found.items["item_id"]), touched))
    order = np.argsort(hash_texts(found.items["item_id"]))
    items = found.items.take(pa.array(order))
    rows = np.searchsorted(item_keys, hash_texts(items["item_id"]))
    terms: list[list[str]] = [[] for _ in range(item_keys.size)]
    queries: list[list[str]] = []
    if spaces.text:
        _collect_terms(items, rows, domain, spaces.text.of, terms)
        queries = [phrase(query) for query in sorted(found.queries.to_pylist())]
    size = spaces.text.size if spaces.text else 0
    text = text_space(terms, queries, size, settings.most_terms, settings.seed)
    blocks = _blocks(found, spaces, settings.blocks)
    behaviour, pairs = _by_block(found, spaces, item_keys, blocks, settings.seed)
    about = {
        "domain": domain.name,
        "spaces": msgspec.to_builtins(spaces),
        "until_ms": found.until_ms,
        "seed": settings.seed,
        "most_terms": settings.most_terms,
    }
    return Vectors(
        about=json.dumps(about, sort_keys=True, ensure_ascii=False),
        item_keys=item_keys,
        blocks=blocks,
        image=_images(items, rows, item_keys.size, spaces, domain, settings.seed),
        behaviour=behaviour,
        pair_starts=_pair_starts(pairs),
        pair_items=np.concatenate([part.items for part in pairs]),
        pair_scores=np.concatenate([part.scores for part in pairs]),
        **vars(text),
    )


def _wanted(domain: Domain) -> VectorSpaces:
    if domain.vectors is None:
        raise TrainingError(
            f"{domain.origin} declares no `vectors:`, so there are none to build: see "
            "docs/reference/features.md"
        )
    return domain.vectors


def _collect_terms(
    items: pa.Table, rows: Ints, domain: Domain, names: Iterable[str], terms: list[list[str]]
) -> None:
    """Put the terms of each item's attributes into its list, attribute by attribute."""
    columns = {"text": "texts", "category": "categories", "tags": "tags"}
    for name in names:
        kind = domain.attributes[name].kind
        of, keys, values = entries(items[columns[kind]])
        chosen = np.flatnonzero(pc.equal(keys, name).to_numpy(zero_copy_only=False))
        for row, value in zip(of[chosen], values.take(pa.array(chosen)).to_pylist(), strict=True):
            for one in value if kind == "tags" else [value]:
                terms[rows[row]] += words(one or "") if kind == "text" else phrase(one or "")


def _images(
    items: pa.Table, rows: Ints, count: int, spaces: VectorSpaces, domain: Domain, seed: int
) -> NDArray[np.float32]:
    """Images, centred and turned to the directions in which they differ most, at length one."""
    if spaces.image is None:
        return np.zeros((count, 0), np.float32)
    name, size = spaces.image.of, spaces.image.size
    length = domain.attributes[name].length or 0
    of, keys, values = entries(items["vectors"])
    chosen = np.flatnonzero(pc.equal(keys, name).to_numpy(zero_copy_only=False))
    given = values.take(pa.array(chosen))
    lengths = pc.list_value_length(given).to_numpy(zero_copy_only=False)
    for wrong in np.flatnonzero(lengths != length)[:1]:
        item = items["item_id"][int(of[chosen[wrong]])].as_py()
        raise TrainingError(
            f"item {item}: '{name}' has {lengths[wrong]} numbers, the domain file says {length}: correct "
            f"attributes.{name}.length in {domain.origin}, or send the item again"
        )
    vectors = np.zeros((count, size), np.float32)
    if lengths.size:
        pictures = pc.list_flatten(given).to_numpy(zero_copy_only=False).astype(np.float64)
        pictures = pictures.reshape(-1, length)
        centred = pictures - pictures.mean(axis=0) if len(pictures) > 1 else pictures
        vectors[rows[of[chosen]]] = unit(centred @ leading(sp.csr_matrix(centred), size, seed))
    return vectors


def _blocks(found: Material, spaces: VectorSpaces, most: int) -> Ints:
    """When each block begins: the first before everything, the last at `until`, between them as many touches
    each."""
    acts = [name for part in (spaces.behaviour, spaces.covisits) if part for name in part.of]
    is_act = pc.is_in(found.touches["event_type"], value_set=pa.array(acts, pa.string()))
    times = np.sort(as_ms(found.touches.filter(is_act)["arrived_at"]))
    if not times.size:
        return np.array([ALWAYS], np.int64)
    # A block that begins within a millisecond knows what arrived before it, and nothing of that millisecond.
    inner = times[np.arange(1, most) * times.size // most]
    return np.unique(np.concatenate([[ALWAYS], inner, [found.until_ms]])).astype(np.int64)


def _by_block(
    found: Material, spaces: VectorSpaces, item_keys: Ints, blocks: Ints, seed: int
) -> tuple[NDArray[np.float32], list[Neighbours]]:
    """(behaviour vectors, neighbours), each of what had arrived before its block."""
    users, user_rows = np.unique(hash_texts(found.touches["user_id"]), return_inverse=True)
    shape = users.size, item_keys.size
    touches = Touches(
        user_rows.astype(np.int64),
        np.searchsorted(item_keys, hash_texts(found.touches["item_id"])),
        as_ms(found.touches["arrived_at"]),
    )
    size = spaces.behaviour.size if spaces.behaviour else 0
    vectors = np.zeros((blocks.size, item_keys.size, size), np.float32)
    nothing = Neighbours(np.zeros(item_keys.size + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, "f4"))
    pairs = []
    for number, start in enumerate(blocks):
        if spaces.behaviour:
            liked = _of(found, touches, spaces.behaviour.of).before(start).matrix(*shape, MOST_LIKED)
            vectors[number] = behaviour_vectors(liked, size, seed)
        neighbours = nothing
        if spaces.covisits:
            part = spaces.covisits
            liked = _of(found, touches, part.of).before(start).matrix(*shape, MOST_LIKED)
            shown = _of(found, touches, (SHOWN,)).before(start).matrix(*shape, MOST_SHOWN)
            neighbours = covisits(liked, shown, part.smooth, part.keep)
        pairs.append(neighbours)
    return vectors, pairs


def _of(found: Material, touches: Touches, names: tuple[str, ...]) -> Touches:
    wanted = pc.is_in(found.touches["event_type"], value_set=pa.array(names, pa.string()))
    chosen = wanted.to_numpy()
    return Touches(touches.users[chosen], touches.items[chosen], touches.times[chosen])


def _pair_starts(pairs: list[Neighbours]) -> Ints:
    before = np.cumsum([0, *(part.items.size for part in pairs[:-1])])
    return np.stack([part.starts + first for part, first in zip(pairs, before, strict=True)])
