"""What a model was given when it ranked, beside what the replay says that it should have been given."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contracts.decision_features import DecisionFeatures
from pipelines.features.definitions import Definitions

REPLAYED = ("decision_id", "item_id", "features", "definitions_hash")
"""What is read of gold.training_rows."""
Floats = NDArray[np.float32]


def parity(
    logged: Iterable[DecisionFeatures],
    replayed: pa.Table,
    domain: str,
    definitions: Definitions,
    at: datetime.datetime,
) -> list[dict[str, Any]]:
    """Rows of ops.parity, one for each feature; none when no decision was both logged and replayed under
    these definitions.

    `replayed` are rows of gold.training_rows. An item that a decision shows twice counts once, at its first
    place, and the position with its fixed value, as it is served. Missing values are equal to each other.
    """
    kept = [one for one in logged if one.definitions_hash == definitions.hash]
    found, pairs = _rows_of(replayed, {one.decision_id for one in kept}, definitions)
    decisions, values = 0, 0
    equal = np.zeros(len(definitions.names), np.int64)
    for one in {one.decision_id: one for one in kept}.values():
        places = {item: place for place, item in reversed(list(enumerate(one.items)))}
        shared = [
            (place, pairs[key]) for item, place in places.items() if (key := (one.decision_id, item)) in pairs
        ]
        if shared and one.width == len(definitions.names):
            ours, theirs = (np.array(side) for side in zip(*shared, strict=True))
            equal += _same(one.matrix()[ours], found[theirs]).sum(axis=0)
            decisions, values = decisions + 1, values + len(shared)
    if not values:
        return []
    about = {"compared_at": at, "domain": domain, "definitions_hash": definitions.hash}
    return [
        {**about, "feature": name, "decisions": decisions, "values": values, "equal": n, "share": n / values}
        for name, n in zip(definitions.names, equal.tolist(), strict=True)
    ]


def _rows_of(
    replayed: pa.Table, decisions: set[str], definitions: Definitions
) -> tuple[Floats, dict[tuple[str, str], int]]:
    """Features as they are served of the rows of these decisions, and where each (decision, item) stands."""
    is_wanted = [
        decision in decisions and version == definitions.hash
        for decision, version in zip(
            replayed["decision_id"].to_pylist(), replayed["definitions_hash"].to_pylist(), strict=True
        )
    ]
    rows = replayed.filter(pa.array(is_wanted, pa.bool_()))
    keys = zip(rows["decision_id"].to_pylist(), rows["item_id"].to_pylist(), strict=True)
    values = rows["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    matrix = values.astype(np.float32).reshape(rows.num_rows, len(definitions.names))
    return definitions.as_served(matrix), {key: row for row, key in enumerate(keys)}


def _same(ours: Floats, theirs: Floats) -> NDArray[np.bool_]:
    bits = [np.ascontiguousarray(side, np.float32).view(np.int32) for side in (ours, theirs)]
    same: NDArray[np.bool_] = (bits[0] == bits[1]) | (np.isnan(ours) & np.isnan(theirs))
    return same


def told(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The comparison for people: how much was compared, and each feature that differs, the worst first."""
    if not rows:
        return ["no decision was both logged with its features and replayed under these definitions"]
    differing = sorted((row for row in rows if row["share"] < 1), key=lambda row: row["share"])
    lines = [f"{row['decisions']:,} decisions, {row['values']:,} items" for row in rows[:1]]
    lines += [f"{row['feature']}: {row['share']:.2%} of the values are equal" for row in differing]
    return lines if differing else [*lines, "every feature has the same bits in the log and in the replay"]
