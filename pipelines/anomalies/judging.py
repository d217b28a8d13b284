"""Behaviour vectors judged by the outlier models in charge: scores, p-values, reasons, discoveries."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from pipelines.anomalies.calibrating import calibrations_of
from pipelines.anomalies.calibration import Calibration
from pipelines.anomalies.discoveries import Past, judge, remembered
from pipelines.anomalies.ordering import is_of, learnt_by, matrix_of_width, order_rows
from pipelines.contracts.gold import OUTLIERS
from pipelines.contracts.ops import OUTLIER_BATCHES
from pipelines.contracts.scoring import JUDGED, TO_JUDGE
from pipelines.contracts.types import arrow_schema
from pipelines.contracts.watch import REASON
from pipelines.domain import Domain
from pipelines.features.columns import packed_cell, unpacked
from pipelines.models import package
from pipelines.models.champions import Champions
from pipelines.models.outlier_kinds import Outliers
from pipelines.models.outliers import Columns, OutlierModel
from pipelines.models.promotion import model_cache
from pipelines.models.registry import Registry, fail_fast
from pipelines.models.scoring import Champion
from pipelines.sections import Outliers as Outlying
from pipelines.settings import Settings

TOP_FEATURES = 3
CAUSES = ("address", "device")
COLUMNS = tuple(TO_JUDGE.fieldNames())
BATCHES_ARE_NOT_WEIGHED = ("spark.sql.execution.arrow.maxBytesPerBatch", str(2**31 - 1))
"""Spark weighs a batch for Python after each row, which costs 50 µs a row with lists and maps in it: these
rows are small, and their number alone ends a batch."""


@dataclass(frozen=True)
class Judges:
    """Outlier models with their calibrations, by kind of vectors."""

    outliers: Outliers
    calibrations: dict[str, Calibration]


@functools.lru_cache(maxsize=4)
def loaded(champion: Champion) -> Judges:
    """The champion's models, loaded and verified once in each process."""
    outliers = package.load_outliers(champion.folder())
    return Judges(outliers, calibrations_of(outliers))


def judged(rows: DataFrame, champion: Champion) -> pa.Table:
    """Rows of TO_JUDGE as rows of JUDGED in this process. Every worker loads and verifies a version once.

    What workers give goes through the JVM unread, as the bytes of Arrow messages: that costs a tenth of
    making rows of it there.
    """
    rows.sparkSession.conf.set(*BATCHES_ARE_NOT_WEIGHED)
    messages = rows.select(*COLUMNS).mapInArrow(_judging(champion), "message binary").toArrow()["message"]
    tables = [unpacked(message.as_buffer()) for message in messages]
    return pa.concat_tables([arrow_schema(JUDGED).empty_table(), *tables])


def _judging(champion: Champion) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in batches:
            if rows.num_rows:
                found = judge_rows(pa.Table.from_batches([rows]), loaded(champion))
                yield pa.RecordBatch.from_arrays([packed_cell(found)], ["message"])

    return run


def judge_rows(rows: pa.Table, judges: Judges) -> pa.Table:
    """Rows of TO_JUDGE as rows of JUDGED, in their order. A row depends on itself alone.

    Raises ModelError for a vector of another width.
    """
    count = rows.num_rows
    numbers = {name: np.full(count, np.nan) for name in ("score", "rank", "p_value")}
    tails, told = np.zeros(count, bool), _Reasons(count)
    versions, version_of = [""], np.zeros(count, np.int64)
    vectors = matrix_of_width(rows["vector"], len(judges.outliers.names))
    for kind, model in judges.outliers.models.items():
        own = np.flatnonzero(is_of(rows, kind))
        if not own.size:
            continue
        scores, reasons = model.judged(vectors[own], TOP_FEATURES)
        numbers["score"][own], numbers["rank"][own] = scores, model.rank(scores)
        told.add(own, model, reasons)
        if kind in judges.calibrations:
            numbers["p_value"][own], tails[own] = judges.calibrations[kind].p_values(scores)
            version_of[own] = len(versions)
            versions.append(judges.calibrations[kind].version)
    schema = arrow_schema(JUDGED)
    made = {name: pa.array(values, mask=np.isnan(values)) for name, values in numbers.items()}
    made |= told.columns() | {
        "is_tail": pa.array(tails, mask=np.isnan(numbers["p_value"])),
        "calibration": pa.array(versions).take(pa.array(version_of, mask=version_of == 0)),
    }
    columns = [made[f.name] if f.name in made else rows[f.name] for f in schema]
    return pa.table(columns, names=schema.names).cast(schema)


class _Reasons:
    """The least usual figures of rows, the most unusual first, as they are found for one kind after the
    other; null for the rows of none."""

    def __init__(self, count: int) -> None:
        self._place = np.full(count, -1)
        self._names: list[pa.Array] = []
        self._numbers: list[NDArray[np.float64]] = []
        self._found = 0

    def add(self, rows: NDArray[np.int64], model: OutlierModel, found: Columns) -> None:
        """Those of some rows, given by their numbers."""
        places, *numbers = found
        self._width = places.shape[1]
        self._place[rows] = self._found + np.arange(len(rows))
        self._found += len(rows)
        self._names.append(pa.array(model.names, pa.string()).take(pa.array(places.ravel())))
        self._numbers.append(np.stack([one.ravel() for one in numbers]))

    def columns(self) -> dict[str, pa.Array]:
        """Columns `reasons` and `top_features`."""
        if not self._found:
            nothing = pa.nulls(len(self._place))
            return {"reasons": nothing, "top_features": nothing}
        names, numbers = pa.concat_arrays(self._names), np.concatenate(self._numbers, axis=1)
        parts = pa.StructArray.from_arrays([names, *map(pa.array, numbers)], names=REASON.fieldNames())
        starts = pa.array(np.arange(self._found + 1, dtype=np.int32) * self._width)
        each = {"reasons": parts, "top_features": names}
        found = {name: pa.ListArray.from_arrays(starts, values) for name, values in each.items()}
        if np.array_equal(self._place, np.arange(self._found)):
            return found
        order = pa.array(self._place, mask=self._place < 0)
        return {name: values.take(order) for name, values in found.items()}


def discovered(
    rows: pa.Table, past: Sequence[Past], share: float, batches: int
) -> tuple[NDArray[np.bool_], Past]:
    """(which rows of JUDGED are discoveries of their batch, what is kept of it). Each entity and window is
    one hypothesis, each address one cause; rows without a p-value are none."""
    p = rows["p_value"].to_numpy()
    known = np.flatnonzero(~np.isnan(p))
    found, kept = judge(past, p[known], share, decay_of(batches), lambda few: causes_of(rows, known[few]))
    marks = np.zeros(len(p), bool)
    marks[known] = found
    return marks, kept


def causes_of(rows: pa.Table, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each of some rows: the same where they have one address, or without any one device; an
    entity without either is a cause of its own."""
    chosen = rows.select(["entity", "entity_id", "links"]).take(pa.array(places)).to_pylist()
    names = [
        next((f"{kind}={links[kind]}" for kind in CAUSES if links.get(kind)), f"{entity}={entity_id}")
        for entity, entity_id, links in (
            (row["entity"], row["entity_id"], dict(row["links"] or ())) for row in chosen
        )
    ]
    return np.asarray(np.unique(np.array(names, str), return_inverse=True)[1], np.int64)


def decay_of(batches: int) -> float:
    """The weight of a batch against the next, so that after so many batches a third is left."""
    return float(np.exp(-1.0 / max(batches, 1)))


def outlier_rows(
    rows: pa.Table,
    found: NDArray[np.bool_],
    champion: Champion,
    learnt: NDArray[np.float64] | None = None,
) -> pa.Table:
    """Rows of JUDGED as rows of gold.outliers."""
    minutes = rows["window_minutes"].to_numpy().astype(np.int64)
    starts = rows["window_start"].cast(pa.int64()).to_numpy()
    utc = pa.timestamp("us", tz="UTC")
    ends = pa.array(starts + minutes * 60_000_000, utc)
    is_known = ~np.isnan(rows["p_value"].to_numpy())
    made = {
        "window_end": ends,
        "day": rows["window_start"].cast(utc).cast(pa.date32()),
        "is_found": pa.array(found, mask=~is_known),
        "learnt": pa.nulls(rows.num_rows) if learnt is None else pa.array(learnt, mask=np.isnan(learnt)),
        "model_name": pa.repeat(champion.name, rows.num_rows),
        "model_version": pa.repeat(champion.version, rows.num_rows),
    }
    schema = arrow_schema(OUTLIERS.schema)
    columns = [made[f.name] if f.name in made else rows[f.name] for f in schema]
    return pa.table(columns, names=schema.names).cast(schema)


def one_of_key(rows: pa.Table) -> pa.Table:
    """Of several revisions of a row in one batch the newest: an entity and window is one hypothesis."""
    key = [*OUTLIERS.key, "revision"]
    if rows.group_by(OUTLIERS.key, use_threads=False).aggregate([]).num_rows == rows.num_rows:
        return rows
    order = rows.select(key).to_pandas().sort_values("revision", kind="stable")
    last = order.drop_duplicates(list(OUTLIERS.key), keep="last").index
    return rows.take(pa.array(np.sort(last.to_numpy())))


class Judge:
    """The outlier models in charge, and what their discoveries have cost so far."""

    def __init__(
        self, champions: Champions, settings: Outlying, past: Callable[[int], Sequence[Past]]
    ) -> None:
        """`past` gives the newest batches of earlier runs, the oldest first: it is asked once."""
        self.champions = champions
        self._settings, self._ask = settings, past
        self._past: list[Past] | None = None

    @classmethod
    def of(cls, domain: Domain, settings: Settings, past: Callable[[int], Sequence[Past]]) -> Judge:
        """The judge of a domain, by the models of the settings' registry."""
        fail_fast()
        registry, cache = Registry(settings.tracking_uri), model_cache(settings)
        return cls(Champions(registry, cache, domain.name, "", ("outliers",)), settings.outliers, past)

    def results(self, new: DataFrame) -> Results:
        """A micro-batch of gold.behaviour_vectors, judged by the champion of now. Raises ModelError when
        there never was one."""
        [champion] = self.champions.now()
        rows = one_of_key(judged(new, champion))
        found, kept = discovered(
            rows, self._known(), self._settings.false_share, self._settings.memory_batches
        )
        judges, about = loaded(champion), _about(rows, kept, champion)
        told = outlier_rows(rows, found, champion, learnt_by(rows, judges.outliers))
        return Results(told, kept, about, order_rows(judges.outliers, champion, about["newest"]))

    def written(self, results: Results) -> None:
        """Remember what a batch has cost, once its rows are stored."""
        self._past = [*self._known(), results.kept][-self._most :]

    @property
    def _most(self) -> int:
        return remembered(decay_of(self._settings.memory_batches))

    def _known(self) -> list[Past]:
        if self._past is None:
            self._past = list(self._ask(self._most))
        return self._past


@dataclass(frozen=True)
class Results:
    """Rows of gold.outliers, what is kept of their batch, the same as rows of ops.outlier_batches but for the
    batch's own number, and as rows of ops.alert_orders what the models know of the order of alerts."""

    rows: pa.Table
    kept: Past
    told: dict[str, Any]
    order: pa.Table


def _about(rows: pa.Table, kept: Past, champion: Champion) -> dict[str, Any]:
    p = rows["p_value"].to_numpy()
    return {
        "newest": pc.max(rows["window_start"]).as_py(),
        "vectors": rows.num_rows,
        "tests": int(np.sum(~np.isnan(p))),
        "below_5": int(np.sum(p <= 0.05)),
        "level": kept.level,
        "found": kept.found,
        "most": kept.most,
        "model_version": champion.version,
    }


def batch_row(results: Results, batch_id: int, number: int) -> pa.Table:
    """The row of ops.outlier_batches: `number` is higher than those of all batches before."""
    row = results.told | {"batch_id": batch_id, "number": number}
    return pa.Table.from_pylist([row], arrow_schema(OUTLIER_BATCHES.schema))


def past_of(rows: pa.Table, most: int) -> list[Past]:
    """The newest batches of ops.outlier_batches, the oldest first."""
    newest = rows.sort_by([("number", "descending")]).slice(0, most).to_pylist()
    return [Past(row["level"], row["found"], row["most"]) for row in reversed(newest)]
