"""Rows of ops.gate_records: kept as they are made, found again by model and version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipelines.contracts.ops import GATE_RECORDS
from pipelines.contracts.types import arrow_schema
from pipelines.io import lake, parts
from pipelines.session import Lender
from pipelines.settings import Settings


def keep(record: Mapping[str, Any], settings: Settings, spark: Lender) -> None:
    """Append one record. Spark is asked for only where the lake is not local."""
    row = dict(record) | {"figures": list(record["figures"].items())}
    rows = pa.Table.from_pylist([row], arrow_schema(GATE_RECORDS.schema))
    parts.append(rows, settings, GATE_RECORDS, spark)


def of_model(settings: Settings, name: str) -> list[dict[str, Any]]:
    """All records about a model's versions, newest first."""
    sql = "SELECT * FROM ops.gate_records WHERE model_name = ? ORDER BY decided_at DESC"
    found: list[dict[str, Any]] = lake.query(settings, sql, name).to_dict("records")  # type: ignore[assignment]
    return [row | {"figures": dict(row["figures"]), "checks": list(row["checks"])} for row in found]


def newest(settings: Settings, name: str, version: str) -> dict[str, Any] | None:
    """The newest record about a version; None where nobody has judged it."""
    return next((row for row in of_model(settings, name) if row["challenger"] == version), None)
