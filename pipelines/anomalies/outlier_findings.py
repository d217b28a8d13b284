"""Rows of gold.outliers as findings, for the alerts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.anomalies.findings import OUTLIER, Finding, Reason
from pipelines.anomalies.reviews import millis


def outlier_findings(rows: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """One finding for each row (a dictionary, with the columns of gold.outliers) that has a p-value, in their
    order, found or not."""
    return [
        Finding(
            kind=OUTLIER,
            entity=row["entity"],
            entity_id=row["entity_id"],
            window_start_ms=millis(row["window_start"]),
            window_end_ms=millis(row["window_end"]),
            p=row["p_value"],
            exposure=row["exposure"],
            reasons=tuple(
                Reason(one["name"], one["value"], one["low"], one["high"]) for one in row["reasons"] or ()
            ),
            calibration=row["calibration"] or "",
            links=dict(row["links"] or {}),
            learnt=row["learnt"],
        )
        for row in rows
        if row["p_value"] is not None
    ]
