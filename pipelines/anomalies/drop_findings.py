"""Rows of gold.metric_verdicts as findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pipelines.anomalies.findings import DROP, Finding, Reason
from pipelines.gold.engagement import ALL


def drop_findings(rows: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """The alerts among rows of gold.metric_verdicts, in their order; others are left out.

    The first reason is the metric itself, its value beside the usual range; the others are the segments that
    have most of what is missing: their share of it, beside the share that they have of the whole.
    """
    return [_finding(row) for row in rows if row["alert"]]


def _finding(row: Mapping[str, Any]) -> Finding:
    value = float("nan") if row["value"] is None else float(row["value"])
    causes = tuple(
        Reason(f"share of {cause['segment']}", cause["share"], 0.0, cause["usual_share"])
        for cause in row["causes"] or ()
    )
    return Finding(
        kind=DROP,
        entity="metric",
        entity_id=f"{row['metric']}@{row['segment']}",
        window_start_ms=_ms(row["window_start"]),
        window_end_ms=_ms(row["window_end"]),
        p=row["p"],
        exposure=abs(row["missing"] or 0.0),
        reasons=(Reason(row["metric"], value, row["low"], row["high"]), *causes),
        calibration=row["calibration"],
        links={} if row["segment"] == ALL else {"segment": row["segment"]},
    )


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
