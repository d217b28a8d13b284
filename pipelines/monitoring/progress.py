"""What a micro-batch did, as rows of ops.stream_progress."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from pipelines.contracts.ops import STREAM_PROGRESS
from pipelines.contracts.types import arrow_schema


def progress(query: str, batch_id: int, counts: Mapping[str, int], finished_at_ms: int) -> pa.Table:
    """One row: what the micro-batch of a query counted, and when it was done."""
    row = {
        "query": [query],
        "batch_id": [batch_id],
        "finished_at": pa.array([finished_at_ms * 1000], pa.timestamp("us", tz="UTC")),
        "counts": [list(counts.items())],
    }
    return pa.table(row, schema=arrow_schema(STREAM_PROGRESS.schema))
