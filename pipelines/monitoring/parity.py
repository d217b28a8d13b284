"""What a model was given when it ranked, beside what the replay says that it should have been given."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contracts.decision_features import DecisionFeatures
from pipelines.features.definitions import Definitions
from pipelines.monitoring.own import own_features
from pipelines.sections import Parity

REPLAYED = ("decision_id", "item_id", "features", "definitions_hash")
"""What is read of gold.training_rows."""
Floats = NDArray[np.float32]
Row = dict[str, Any]


@dataclass(frozen=True)
class Worst:
    """Where a feature differs most. A value that one side lacks differs more than any number."""

    distance: float
    decision_id: str
    item_id: str
    logged: float
    replayed: float

    def row(self) -> Row:
        """As columns of ops.parity."""
        known = self.distance if np.isfinite(self.distance) else None
        return {**vars(self), "largest": known}


def parity(
    logged: Iterable[DecisionFeatures],
    replayed: pa.Table,
    definitions: Definitions,
    limits: Parity,
    about: Row,
) -> list[Row]:
    """Rows of ops.parity, one for each feature; none when no decision was both logged and replayed under
    these definitions.

    `replayed` are rows of gold.training_rows; `about` are the columns that all rows share: domain, since,
    until, compared_at. An item that a decision shows twice counts once, at its first place, and the position
    with its fixed value, as it is served. Missing values are equal to each other.
    """
    kept = [one for one in logged if one.definitions_hash == definitions.hash]
    found, pairs = _rows_of(replayed, {one.decision_id for one in kept}, definitions)
    decisions, values = 0, 0
    equal = np.zeros(len(definitions.names), np.int64)
    worst: dict[int, Worst] = {}
    for one in {one.decision_id: one for one in kept}.values():
        places = {item: place for place, item in reversed(list(enumerate(one.items)))}
        shared = [
            (place, pairs[key]) for item, place in places.items() if (key := (one.decision_id, item)) in pairs
        ]
        if shared and one.width == len(definitions.names):
            ours, theirs = (np.array(side) for side in zip(*shared, strict=True))
            sides = one.matrix()[ours], found[theirs]
            same = _same(*sides)
            equal += same.sum(axis=0)
            _note_worst(worst, one, ours, sides, ~same)
            decisions, values = decisions + 1, values + len(shared)
    if not values:
        return []
    shares = equal / values
    is_own = own_features(definitions)
    rows = []
    for column, name in enumerate(definitions.names):
        least = limits.own_share if is_own[column] else limits.shared_share
        rows.append(
            {
                **about,
                "definitions_hash": definitions.hash,
                "feature": name,
                "decisions": decisions,
                "values": values,
                "equal": int(equal[column]),
                "share": float(shares[column]),
                "is_own": is_own[column],
                "is_fault": bool(decisions >= limits.fewest and shares[column] < least),
                **(worst[column].row() if column in worst else {}),
            }
        )
    return rows


def _note_worst(
    worst: dict[int, Worst],
    one: DecisionFeatures,
    places: NDArray[np.int64],
    sides: tuple[Floats, Floats],
    differs: NDArray[np.bool_],
) -> None:
    """Keep what differs most of each feature, this decision's rows looked at too."""
    ours, theirs = (side.astype(np.float64) for side in sides)
    with np.errstate(invalid="ignore"):
        distance = np.where(differs, np.nan_to_num(np.abs(ours - theirs), nan=np.inf), -1.0)
    for column in np.flatnonzero(differs.any(axis=0)).tolist():
        row = int(np.argmax(distance[:, column]))
        if column not in worst or distance[row, column] > worst[column].distance:
            item = one.items[int(places[row])]
            values = float(ours[row, column]), float(theirs[row, column])
            worst[column] = Worst(float(distance[row, column]), one.decision_id, item, *values)


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


def told(rows: Sequence[Row]) -> list[str]:
    """The comparison for people: how much was compared, each feature that differs, faults first, and what to
    do about them."""
    if not rows:
        return ["no decision was both logged with its features and replayed under these definitions"]
    first, worst = rows[0], sorted(rows, key=lambda row: (not row["is_fault"], row["share"]))
    differing = [_told(row) for row in worst if row["share"] < 1]
    summary = f"{first['decisions']:,} decisions, {first['values']:,} items"
    faults = [row for row in worst if row["is_fault"]]
    if not differing:
        differing = ["every feature has the same bits in the log and in the replay"]
    return [summary, *differing, *(_remedy(faults) if faults else [])]


def _told(row: Row) -> str:
    return (
        f"{'FAULT ' if row['is_fault'] else ''}{row['feature']}: {row['share']:.2%} of the values are equal; "
        f"most in decision {row['decision_id']}, item {row['item_id']}: logged {row['logged']:g}, replayed "
        f"{row['replayed']:g}"
    )


def _remedy(faults: Sequence[Row]) -> list[str]:
    domain, decision = shlex.quote(faults[0]["domain"]), shlex.quote(faults[0]["decision_id"])
    return [
        f"served otherwise than trained: {', '.join(row['feature'] for row in faults)}. What to do next:",
        f"  lakepulse explain {decision}   shows that decision with the features that were replayed",
        "  lakepulse store   tells whether the online store is behind Kafka, as it may have been then",
        f"  ./spark-submit.sh rebuild_store --domain {domain}   folds the store anew, if it is not "
        "behind, and services and jobs are of one release",
        "docs/how-to/quality.md says what may differ; the figures are kept in ops.parity",
    ]
