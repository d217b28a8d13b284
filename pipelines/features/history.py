"""Events and decisions of silver as one history: everything in the order in which it arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.features.columns import as_ints, as_ms, lists, whole
from pipelines.features.hashing import hash_texts
from pipelines.features.ids import hash_list
from pipelines.features.program import DECISION_CODE, Ints
from pipelines.features.words import query_terms

ARRIVAL = ("topic", "partition", "offset", "arrived_at")
EVENT_COLUMNS = ("event_id", "event_time", "event_type", "user_id", "item_id", "query", *ARRIVAL)
DECISION_COLUMNS = ("decision_id", "event_time", "as_of", "user_id", "query", "items", *ARRIVAL)
"""What is read of silver.events and silver.decisions."""


@dataclass(frozen=True)
class History:
    """Happenings in arrival order, ids hashed. A decision's items are `listed[lists_from:lists_to]`."""

    times: Ints  # ms since 1970
    arrived: Ints  # ms: when it arrived, or anything before it in its partition did
    codes: Ints
    users: Ints
    ids: Ints
    items: Ints  # 0 for none
    lists_from: Ints
    lists_to: Ints
    listed: Ints
    queries_from: Ints  # the terms of its query, where it has one, are terms[queries_from:queries_to]
    queries_to: Ints
    terms: Ints
    as_of: Ints  # of a decision: when it was made
    decision_rows: Ints  # of a decision: its row in the table of decisions, otherwise -1

    def __len__(self) -> int:
        """How many happenings."""
        return int(self.times.size)

    def part(self, first: int, last: int) -> History:
        """Those from `first` to `last` (excluded)."""
        shared = {"listed": self.listed, "terms": self.terms}
        own = {name: column[first:last] for name, column in vars(self).items() if name not in shared}
        return History(**own, **shared)


def of_one(
    code: int,
    arrived: int,
    *,
    time: int,
    user_id: str,
    event_id: str,
    item_id: str | None = None,
    items: Sequence[str] = (),
    query: str | None = None,
) -> History:
    """One event or decision (by its code) as the row of `in_arrival_order`, made without tables.

    Nothing is to be read for it. Times in ms.
    """
    terms = query_terms(query)
    ids = hash_list([user_id, event_id, *([] if item_id is None else [item_id])])
    numbers = {
        "times": time,
        "arrived": arrived,
        "codes": code,
        "users": ids[0],
        "ids": ids[1],
        "items": 0 if item_id is None else ids[2],
        "lists_from": 0,
        "lists_to": len(items),
        "queries_from": 0,
        "queries_to": terms.size,
        "as_of": 0,
        "decision_rows": -1,
    }
    columns = {name: np.array([number], np.int64) for name, number in numbers.items()}
    return History(**columns, listed=hash_list(items), terms=terms)


def joined(parts: Sequence[History]) -> History:
    """The parts as one history, one behind the other."""
    if len(parts) == 1:
        return parts[0]
    moved = {"lists_from": "listed", "lists_to": "listed", "queries_from": "terms", "queries_to": "terms"}
    before = {
        name: np.cumsum([0, *(getattr(part, name).size for part in parts[:-1])])
        for name in ("listed", "terms")
    }
    columns = {}
    for column in fields(History):
        pieces = [getattr(part, column.name) for part in parts]
        if shared := moved.get(column.name):
            pieces = [piece + at for piece, at in zip(pieces, before[shared], strict=True)]
        columns[column.name] = np.concatenate(pieces)
    return History(**columns)


def in_arrival_order(events: pa.Table, decisions: pa.Table, codes: dict[str, int]) -> History:
    """The history of rows of silver.events and silver.decisions (see the column lists); `codes` numbers the
    event types.

    Partitions are merged by the running maximum of the arrival time, then topic, partition and offset: the
    order within a partition is kept, whatever its clocks say. Events of types without a code are left out.
    """
    known = pc.is_in(events["event_type"], value_set=pa.array(list(codes)))
    events = events.filter(known)
    n, m = events.num_rows, decisions.num_rows
    lengths, listed = lists(decisions["items"])
    ends = np.cumsum(lengths)
    types = whole(events["event_type"]).dictionary_encode()
    by_type = np.array([codes[name] for name in types.dictionary.to_pylist()], np.int64)
    order, arrived = _arrival(events, decisions)
    decided = as_ms(decisions["event_time"])
    nothing, none = np.zeros(n, np.int64), np.zeros(m, np.int64)
    as_of = np.where(pc.is_null(decisions["as_of"]).to_numpy(), decided, as_ms(decisions["as_of"]))
    queries_from, queries_to, terms = _query_terms(events["query"], decisions["query"])
    both = {
        "times": (as_ms(events["event_time"]), decided),
        "codes": (by_type[types.indices.to_numpy(zero_copy_only=False)], none + DECISION_CODE),
        "users": (hash_texts(events["user_id"]), hash_texts(decisions["user_id"])),
        "ids": (hash_texts(events["event_id"]), hash_texts(decisions["decision_id"])),
        "items": (_item_keys(events), none),
        "lists_from": (nothing, ends - lengths),
        "lists_to": (nothing, ends),
        "queries_from": (queries_from[:n], queries_from[n:]),
        "queries_to": (queries_to[:n], queries_to[n:]),
        "as_of": (nothing, as_of),
        "decision_rows": (nothing - 1, np.arange(m)),
    }
    columns = {name: np.append(*parts)[order] for name, parts in both.items()}
    return History(arrived=arrived, listed=hash_texts(listed), terms=terms, **columns)


def _query_terms(*queries: pa.ChunkedArray) -> tuple[Ints, Ints, Ints]:
    """(first, last excluded) of each query's terms, and the terms of all different queries."""
    together = pa.chunked_array([chunk for column in queries for chunk in column.chunks], pa.string())
    kept = whole(together).dictionary_encode()
    different = [np.zeros(0, np.int64), *(query_terms(text) for text in kept.dictionary.to_pylist())]
    ends = np.cumsum([terms.size for terms in different])
    chosen = pc.fill_null(pc.add(kept.indices, 1), 0).to_numpy(zero_copy_only=False)
    return np.append(0, ends)[chosen], ends[chosen], np.concatenate(different)


def _item_keys(events: pa.Table) -> Ints:
    known = pc.is_valid(events["item_id"]).to_numpy()
    return np.where(known, hash_texts(events["item_id"]), 0)


def _arrival(events: pa.Table, decisions: pa.Table) -> tuple[Ints, Ints]:
    topics = pa.chunked_array([*events["topic"].chunks, *decisions["topic"].chunks], pa.string())
    topic = pc.rank(whole(topics), tiebreaker="dense").to_numpy(zero_copy_only=False).astype(np.int64)
    partition = np.append(as_ints(events["partition"]), as_ints(decisions["partition"]))
    offset = np.append(as_ints(events["offset"]), as_ints(decisions["offset"]))
    arrived = np.append(as_ms(events["arrived_at"]), as_ms(decisions["arrived_at"]))
    order = np.lexsort((offset, partition, topic))
    newest = arrived[order]
    starts = np.flatnonzero(np.append(True, (np.diff(topic[order]) != 0) | (np.diff(partition[order]) != 0)))
    for first, last in zip(starts, np.append(starts[1:], order.size), strict=True):
        np.maximum.accumulate(newest[first:last], out=newest[first:last])
    merged = np.argsort(newest, kind="stable")
    return order[merged], newest[merged]
