"""What entities did, as numbers: the acts of silver that behaviour vectors are made of, kept in memory in the
order of their time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.features.hashing import hash_texts
from pipelines.gold.acts import DECISION, money

ENTITIES = {"user": "user_id", "session": "session_id", "device": "device_id", "address": "ip_hash"}
"""Kinds of entities and the column of silver that tells them apart."""
TEXTS = ENTITIES | {"item": "item_id", "source": "source", "query": "query", "kind": "kind"}
"""Columns that are kept as hashes, 0 where nothing is known."""
ACT = np.dtype(
    [
        ("at", "i8"),
        ("id", "i8"),
        *((name, "i8") for name in TEXTS),
        ("money", "i8"),
        ("shown", "i4"),
        ("failed", "?"),
    ]
)
"""An act: its time (epoch ms), a number that no other act has, hashes, minor units of money that it moves,
how many items it showed, whether it failed."""
CHANGE = np.dtype([("item", "i8"), ("since", "i8"), ("category", "i8")])
"""From when (epoch ms) an item is of a category (a hash, 0 for none)."""
Acts = NDArray[np.void]
Changes = NDArray[np.void]
Ints = NDArray[np.int64]


def arrivals(
    events: DataFrame, decisions: DataFrame, items: DataFrame, *, category: str | None, watermark: timedelta
) -> DataFrame:
    """What behaviour vectors must know of silver's new rows, in one frame; batch and stream alike.

    Rows that arrived later than the watermark allows (`is_late`) are no acts: so a window is final some time.
    For the same reason a version of an item counts from `watermark` before its arrival at the earliest.
    """
    shared: list[Column | str] = [
        F.unix_millis("event_time").alias("at"),
        *ENTITIES.values(),
        "source",
        "query",
    ]
    done = events.where(~F.col("is_late")).select(
        F.col("event_id").alias("id"),
        *shared,
        "item_id",
        F.col("event_type").alias("kind"),
        F.coalesce(money(), F.lit(0)).alias("money"),
    )
    lists = decisions.where(~F.col("is_late")).select(
        F.col("decision_id").alias("id"),
        *shared,
        F.lit(DECISION).alias("kind"),
        F.size("items").alias("shown"),
    )
    since = F.greatest(F.col("valid_from"), F.col("arrived_at") - F.lit(watermark))
    of = F.lit(None).cast("string") if category is None else F.col("categories")[category]
    changes = items.select("item_id", F.unix_millis(since).alias("at"), of.alias("category"))
    both: DataFrame = done.unionByName(lists, allowMissingColumns=True)
    return both.unionByName(changes, allowMissingColumns=True)


def parted(rows: pa.Table) -> tuple[Acts, Changes, dict[int, str]]:
    """(acts, changes of items, texts of entities by their hash) of rows of `arrivals`."""
    is_act = pc.is_valid(rows["kind"])
    done, changed = rows.filter(is_act), rows.filter(pc.invert(is_act))
    acts = np.zeros(done.num_rows, ACT)
    names: dict[int, str] = {}
    for name, column in TEXTS.items():
        acts[name], known = _hashes(done[column])
        if name in ENTITIES:
            names |= known
    acts["at"] = done["at"].to_numpy()
    acts["money"] = pc.fill_null(done["money"], 0).to_numpy()
    acts["shown"] = pc.fill_null(done["shown"], 0).to_numpy()
    acts["failed"] = pc.ends_with(done["kind"], "_failed").to_numpy()
    # An id may come again once the watermark has passed: with its time it does not.
    acts["id"] = hash_texts(done["id"]) ^ (acts["at"] * np.int64(0x9E3779B97F4A7C1))
    changes = np.zeros(changed.num_rows, CHANGE)
    changes["item"], changes["category"] = _hashes(changed["item_id"])[0], _hashes(changed["category"])[0]
    changes["since"] = changed["at"].to_numpy()
    return acts, changes, names


def _hashes(texts: pa.ChunkedArray) -> tuple[Ints, dict[int, str]]:
    """Each text's hash, 0 for null, and the texts by hash."""
    encoded = texts.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    known = hash_texts(encoded.dictionary)
    places = np.asarray(encoded.indices.fill_null(-1), np.int64)
    names = dict(zip(known.tolist(), encoded.dictionary.to_pylist(), strict=True))
    return np.append(known, 0)[places], names


class Recent:
    """Acts, and since when items are of a category. What came twice is kept once."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self._sorted = np.zeros(0, ACT)
        self._fresh: list[Acts] = []
        self._changes = np.zeros(0, CHANGE)
        self.names: dict[int, str] = {}

    def add(self, acts: Acts, changes: Changes, names: dict[int, str]) -> None:
        """Take what happened; the order does not matter."""
        if len(acts):
            known = self.between(int(acts["at"].min()), int(acts["at"].max()) + 1)["id"]
            new = np.unique(acts["id"], return_index=True)[1]
            new = new[~np.isin(acts["id"][new], known)]
            self._fresh.append(acts[new])
        if len(changes):
            both = np.concatenate([self._changes, changes])
            _, first = np.unique(both, return_index=True)
            kept = both[first]
            self._changes = kept[np.lexsort((kept["category"], kept["since"], kept["item"]))]
        self.names.update(names)
        if sum(map(len, self._fresh)) * 8 > len(self._sorted):
            self._merge()

    def between(self, since: int, until: int) -> Acts:
        """The acts from one time (epoch ms) to before another, by time and id: the same acts, the same
        order."""
        at = self._sorted["at"]
        low, high = np.searchsorted(at, [since, until])
        parts = [self._sorted[low:high]]
        parts += [part[(part["at"] >= since) & (part["at"] < until)] for part in self._fresh]
        if sum(map(len, parts[1:])) == 0:
            return parts[0]
        return _in_order(np.concatenate(parts))

    def categories(self, acts: Acts) -> Ints:
        """The category of each act's item at that time; 0 where there is none."""
        if not len(self._changes):
            return np.zeros(len(acts), np.int64)
        items, rows = np.unique(self._changes["item"], return_index=True)
        rows = np.append(rows, len(self._changes))
        place = np.searchsorted(items, acts["item"])
        known = (place < len(items)) & (items[np.minimum(place, len(items) - 1)] == acts["item"])
        place = np.where(known, place, 0)
        base = int(min(self._changes["since"].min(), acts["at"].min() if len(acts) else 0))
        span = int(max(self._changes["since"].max(), acts["at"].max() if len(acts) else 0)) - base + 1
        keys = np.repeat(np.arange(len(items)), np.diff(rows)) * span + (self._changes["since"] - base)
        found = np.searchsorted(keys, place * span + (acts["at"] - base), side="right") - 1
        holds = known & (found >= rows[place])
        return np.where(holds, self._changes["category"][np.maximum(found, 0)], 0)

    def newest(self) -> int | None:
        """The time of the newest act."""
        times = [int(part["at"].max()) for part in (self._sorted, *self._fresh) if len(part)]
        return max(times, default=None)

    def forget(self, before: int) -> None:
        """Drop acts from before a time, and texts that no act has any longer."""
        if len(self._sorted) and self._sorted["at"][0] < before:
            self._merge()
            self._sorted = self._sorted[np.searchsorted(self._sorted["at"], before) :].copy()
            kept = np.unique(np.concatenate([self._sorted[name] for name in ENTITIES]))
            self.names = {key: self.names[key] for key in kept.tolist() if key in self.names}

    def _merge(self) -> None:
        self._sorted, self._fresh = _in_order(np.concatenate([self._sorted, *self._fresh])), []


def _in_order(acts: Acts) -> Acts:
    return acts[np.lexsort((acts["id"], acts["at"]))]


def hashed(texts: Iterable[str]) -> Ints:
    """The hashes of some texts, as `parted` makes them."""
    return hash_texts(pa.array(list(texts), pa.string()))


def named(links: Mapping[str, Ints], names: Mapping[int, str]) -> pa.Array:
    """Maps of what each group shares with others: hashes of devices and addresses as their texts."""
    columns = [(name, values.tolist()) for name, values in links.items()]
    found: list[list[tuple[str, str]]] = []
    for place in range(len(columns[0][1])):
        row = [(name, values[place]) for name, values in columns if values[place]]
        found.append([(name, names.get(value, f"{value & (2**64 - 1):016x}")) for name, value in row])
    return pa.array(found, pa.map_(pa.string(), pa.string()))
