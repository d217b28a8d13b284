"""The learnt order of alerts, as the models in charge carry it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.anomalies.reviewed import order_of
from pipelines.anomalies.unusual import SUSPECT_P
from pipelines.contracts.ops import ALERT_ORDERS
from pipelines.contracts.types import arrow_schema
from pipelines.errors import ModelError
from pipelines.features.columns import lists
from pipelines.models.outlier_kinds import Outliers
from pipelines.models.scoring import Champion


def learnt_by(rows: pa.Table, outliers: Outliers) -> NDArray[np.float64]:
    """For unusual rows of JUDGED the log-odds that a reviewer confirms them, where reviews have taught an
    order; else NaN. Nothing is found or left out by it."""
    learnt, order = np.full(rows.num_rows, np.nan), order_of(outliers)
    if order is None:
        return learnt
    p, scores = (rows[name].to_numpy() for name in ("p_value", "score"))
    for kind, model in outliers.models.items():
        own = np.flatnonzero(is_of(rows, kind) & (p <= SUSPECT_P))
        if own.size:
            vectors = matrix_of_width(rows["vector"].take(pa.array(own)), len(model.names))
            learnt[own] = order.scores(model, vectors, scores[own])
    return learnt


def order_rows(outliers: Outliers, champion: Champion, since: Any) -> pa.Table:
    """What the champion's models know of the order of alerts, as a row of ops.alert_orders; none where
    nobody looked."""
    named = {"model_name": champion.name, "model_version": champion.version, "since": since}
    known = outliers.order
    rows = [named | known["evidence"] | {"is_used": known["order"] is not None}] if known else []
    return pa.Table.from_pylist(rows, arrow_schema(ALERT_ORDERS.schema))


def is_of(rows: pa.Table, kind: str) -> NDArray[np.bool_]:
    """Which rows are vectors of a kind."""
    entity, _, minutes = kind.partition("/")
    chosen = pc.and_(pc.equal(rows["entity"], entity), pc.equal(rows["window_minutes"], int(minutes)))
    return np.asarray(chosen.to_numpy(), bool)


def matrix_of_width(column: pa.ChunkedArray, width: int) -> NDArray[np.float64]:
    """A column of vectors as a matrix. Raises ModelError for vectors of another width."""
    sizes, flat = lists(column)
    if (sizes != width).any():
        raise ModelError(
            f"a behaviour vector has {sizes[sizes != width][0]} values, the outlier model needs {width}"
        )
    return np.asarray(flat.to_numpy(zero_copy_only=False), np.float64).reshape(-1, width)
