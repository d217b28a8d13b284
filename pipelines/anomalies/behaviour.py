"""Behaviour vectors: how a user behaved in a short window, as numbers that outlier models compare."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.contracts.gold import BEHAVIOUR_VECTORS
from pipelines.contracts.types import arrow_schema
from pipelines.gold.acts import DECISION, PURCHASE, revenue
from pipelines.gold.touched import Lake, Touched

USER = "user"
NAMES = (
    "events",  # interactions of the user in the window
    "decisions",  # lists shown to the user
    "searches",
    "clicks",
    "carts",
    "purchases",
    "failures",  # events whose type ends with _failed: logins, payments, …
    "failure_share",  # of the events
    "clicks_per_decision",
    "carts_per_click",
    "purchases_per_click",
    "kinds",  # distinct event types, a decision being one
    "kind_entropy",  # bits: 0 when all rows are of one kind
    "gap_mean_s",  # seconds from one row of the user to the next; the window's length with fewer than two
    "gap_shortest_s",  # the same of the shortest gap
    "gap_variation",  # standard deviation of the gaps over their mean: 0 for a metronome, about 1 for chance
    "gap_entropy",  # bits, of the gaps' orders of magnitude (powers of two of a millisecond)
    "distinct_items",
    "repeated_item_share",  # of the interactions with an item, those with one touched before in the window
    "distinct_sessions",
    "distinct_devices",
    "distinct_addresses",
    "distinct_sources",
    "distinct_queries",
    "spent_minor",  # minor units of purchases, all currencies together
    "dearest_minor",  # minor units of the dearest purchase
)
"""What each place of a vector holds. Every value is finite: what cannot be said (a share of nothing) is 0,
never null or NaN, because the detectors take neither."""

COUNTED = {
    "decisions": DECISION,
    "searches": "search",
    "clicks": "click",
    "carts": "cart",
    "purchases": PURCHASE,
}
DISTINCT = {
    "distinct_items": "item_id",
    "distinct_sessions": "session_id",
    "distinct_devices": "device_id",
    "distinct_addresses": "ip_hash",
    "distinct_sources": "source",
    "distinct_queries": "query",
}
Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]


def behaviour_vectors(
    events: DataFrame, decisions: DataFrame, window: datetime.timedelta, revision: int
) -> DataFrame:
    """One row of gold.behaviour_vectors for each user and window in which silver has an interaction or a
    decision of that user.

    Windows start at multiples of their length since the epoch. `vector` follows NAMES; event types that a
    shop does not have are 0.
    """
    texts = ["user_id", *(name for name in DISTINCT.values() if name != "item_id")]
    at = F.unix_millis("event_time").alias("at")
    done = events.select(at, *texts, "item_id", F.col("event_type").alias("kind"), revenue().alias("revenue"))
    shown = decisions.select(at, *texts, F.lit(DECISION).alias("kind"))
    rows = done.unionByName(shown, allowMissingColumns=True)
    by_user = rows.repartition("user_id").sortWithinPartitions("user_id")
    length = round(window.total_seconds() * 1000)
    return by_user.mapInArrow(_of_whole_users(length, revision), BEHAVIOUR_VECTORS.schema)


def window_start(at: Column, window: datetime.timedelta) -> Column:
    """The start of the window that a time falls into."""
    length = round(window.total_seconds() * 1000)
    return F.timestamp_millis(F.floor(F.unix_millis(at) / length) * length)


def corrected_vectors(window: datetime.timedelta, _: Lake, batch: Touched, revision: int) -> DataFrame:
    """The vectors of the windows that a micro-batch of silver has rows in."""
    keys = batch.acts.select("user_id", window_start(F.col("at"), window).alias("start")).distinct()
    start = window_start(F.col("event_time"), window)
    events, decisions = (
        rows.withColumn("start", start).join(keys, ["user_id", "start"], how="left_semi")
        for rows in (batch.events, batch.decisions)
    )
    return behaviour_vectors(events, decisions, window, revision)


def _of_whole_users(
    length: int, revision: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for `mapInArrow`: batches sorted by user in, rows of gold.behaviour_vectors out."""

    def compute(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        held: list[pa.RecordBatch] = []  # the last user so far, whose rows may go on in the next batch
        for batch in batches:
            if batch.num_rows:
                last = pc.index(batch["user_id"], batch["user_id"][-1]).as_py()
                if last or (held and held[-1]["user_id"][-1] != batch["user_id"][0]):
                    complete = pa.Table.from_batches([*held, batch.slice(0, last)])
                    yield from vectors(complete, length, revision).to_batches()
                    held = []
                held.append(batch.slice(last))
        if held:
            yield from vectors(pa.Table.from_batches(held), length, revision).to_batches()

    return compute


def vectors(rows: pa.Table, length: int, revision: int) -> pa.Table:
    """Rows of gold.behaviour_vectors, computed from all rows of some users.

    `rows` has at (epoch ms), user_id, kind, revenue and the columns of DISTINCT; `length` is a window's, in
    ms. The same rows in any order give the same bits.
    """
    if not rows.num_rows:
        return arrow_schema(BEHAVIOUR_VECTORS.schema).empty_table()
    users, at = rows["user_id"].combine_chunks().dictionary_encode(), rows["at"].to_numpy()
    user, start = users.indices.to_numpy().astype(np.int64), at // length * length
    order = np.lexsort((at, start, user))
    opens = np.flatnonzero(np.r_[True, (np.diff(user[order]) != 0) | (np.diff(start[order]) != 0)])
    groups = _Groups(rows.take(order), at[order], opens)
    figures = _figures(groups, length / 1000)
    matrix = np.nan_to_num(np.column_stack([figures[name] for name in NAMES]), nan=0.0)
    starts = pa.array(start[order][opens] * 1000, pa.timestamp("us", tz="UTC"))
    columns = {
        "entity": [USER] * len(opens),
        "entity_id": users.dictionary.take(pa.array(user[order][opens])),
        "window_start": starts,
        "day": starts.cast(pa.date32()),
        "vector": list(matrix),
        "revision": np.full(len(opens), revision),
    }
    return pa.table(columns, schema=arrow_schema(BEHAVIOUR_VECTORS.schema))


class _Groups:
    """Rows in the order of user, window and time, and what can be added up per user and window."""

    def __init__(self, rows: pa.Table, at: Codes, opens: Codes) -> None:
        self.rows = rows
        self.size = np.diff(np.r_[opens, len(at)])
        self.of_row = np.repeat(np.arange(len(opens)), self.size)
        self.first = opens
        self.inside = np.ones(len(at), bool)
        self.inside[opens] = False  # the first row of a group has no gap
        self.gap: Codes = np.where(self.inside, np.diff(at, prepend=at[:1]), 0)

    def _per_group(self, group: Codes, weights: Numbers | None = None) -> Numbers:
        return np.bincount(group, weights=weights, minlength=len(self.size)).astype(np.float64)

    def count(self, rows: NDArray[np.bool_]) -> Numbers:
        """How many of the rows that `rows` marks each group has."""
        return self._per_group(self.of_row[rows])

    def add(self, values: Numbers | Codes, rows: NDArray[np.bool_]) -> Numbers:
        """The sum of the values of those rows; exact below 2^53, so that it does not depend on their
        order."""
        weights = values[rows].astype(np.float64)
        return self._per_group(self.of_row[rows], weights)

    def codes(self, column: str) -> Codes:
        """The column's values as numbers from 0, -1 for null."""
        encoded = self.rows[column].combine_chunks().dictionary_encode()
        return np.asarray(encoded.indices.fill_null(-1), np.int64)

    def tally(self, codes: Codes, rows: NDArray[np.bool_]) -> tuple[Codes, Codes]:
        """The distinct pairs of group and code among those rows: the pair's group, and its number of rows."""
        most = codes.max(initial=0) + 1
        pairs, sizes = np.unique(self.of_row[rows] * most + codes[rows], return_counts=True)
        return pairs // most, sizes

    def distinct(self, column: str) -> Numbers:
        """How many values other than null each group has."""
        codes = self.codes(column)
        return self._per_group(self.tally(codes, codes >= 0)[0])

    def entropy(self, codes: Codes, rows: NDArray[np.bool_]) -> Numbers:
        """Shannon's entropy in bits of each group's codes among those rows, 0 without any."""
        group, sizes = self.tally(codes, rows)
        in_order = np.lexsort((sizes, group))
        group, share = group[in_order], sizes[in_order] / self.count(rows)[group[in_order]]
        return self._per_group(group, -share * np.log2(share))


def _figures(groups: _Groups, silence: float) -> dict[str, Numbers]:
    kind, inside, gap = groups.rows["kind"], groups.inside, groups.gap
    everything = np.ones(len(gap), bool)
    counts = {name: groups.count(_mask(pc.equal(kind, value))) for name, value in COUNTED.items()}
    events, failures = groups.size - counts["decisions"], groups.count(_mask(pc.ends_with(kind, "_failed")))
    gaps, mean = groups.size - 1.0, _share(groups.add(gap, inside), groups.size - 1.0)
    variance = _share(groups.add(gap * gap, inside), gaps) - mean * mean
    with_item = groups.count(_mask(pc.is_valid(groups.rows["item_id"])))
    shortest = np.minimum.reduceat(np.where(inside, gap, np.iinfo(np.int64).max), groups.first)
    has_price = _mask(pc.is_valid(groups.rows["revenue"]))
    spent = groups.rows["revenue"].fill_null(0).to_numpy()
    distinct = {name: groups.distinct(column) for name, column in DISTINCT.items()}
    is_lonely = gaps == 0
    return (
        counts
        | distinct
        | {
            "events": events,
            "failures": failures,
            "failure_share": _share(failures, events),
            "clicks_per_decision": _share(counts["clicks"], counts["decisions"]),
            "carts_per_click": _share(counts["carts"], counts["clicks"]),
            "purchases_per_click": _share(counts["purchases"], counts["clicks"]),
            "kinds": groups.distinct("kind"),
            "kind_entropy": groups.entropy(groups.codes("kind"), everything),
            "gap_mean_s": np.where(is_lonely, silence, mean / 1000),
            "gap_shortest_s": np.where(is_lonely, silence, shortest / 1000),
            "gap_variation": _share(np.sqrt(np.maximum(variance, 0)), mean),
            "gap_entropy": groups.entropy(np.log2(gap + 1).astype(np.int64), inside),
            "repeated_item_share": _share(with_item - distinct["distinct_items"], with_item),
            "spent_minor": groups.add(spent, has_price),
            "dearest_minor": np.maximum.reduceat(spent, groups.first).astype(np.float64),
        }
    )


def _mask(values: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(values.to_numpy(), dtype=bool)


def _share(part: Numbers, whole: Numbers) -> Numbers:
    """`part` / `whole`, NaN where there is no whole."""
    return np.asarray(np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0))
