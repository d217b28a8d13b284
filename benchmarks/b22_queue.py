"""The days of B22 on which reviewers see the most unusual causes, and give the true verdict."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.anomalies.alert_batches import Batch, Rules, State
from pipelines.anomalies.alert_rows import alert_rows
from pipelines.anomalies.alerts import raise_incidents
from pipelines.anomalies.behaviour import DAY_MS
from pipelines.anomalies.desk import review_row
from pipelines.anomalies.findings import Finding
from pipelines.anomalies.grouping import Carriers
from pipelines.anomalies.incidents import OPEN, UNUSUAL, Incident
from pipelines.anomalies.judging import Judges, judge_rows, outlier_rows
from pipelines.anomalies.outlier_findings import outlier_findings
from pipelines.anomalies.reviews import CONFIRMED, FALSE_ALARM, evidence
from pipelines.anomalies.unusual import SUSPECT_P
from pipelines.models.outlier_training import matrix_of
from pipelines.models.scoring import Champion
from pipelines.sections import Alerts
from pipelines.settings import Settings

HOUR_MS = 3_600_000
Rows = dict[str, pa.Table]


def of_day(rows: Rows, start_ms: int) -> Rows:
    """Vectors of windows that start on the day that begins then."""
    found = {}
    for kind, table in rows.items():
        starts = table["window_start"].cast(pa.int64()).to_numpy() // 1000
        found[kind] = table.filter(pa.array((start_ms <= starts) & (starts < start_ms + DAY_MS)))
    return found


def suspects(rows: Rows, judges: Judges, settings: Settings) -> list[Finding]:
    """Windows that may be among the most unusual of their day."""
    told, champion = [], Champion("shop-outliers", "1", "", settings.state)
    for kind, table in rows.items():
        if kind not in judges.calibrations or not table.num_rows:
            continue
        scores = judges.outliers.models[kind].score(matrix_of(table["vector"]))
        p = judges.calibrations[kind].p_values(scores)[0]
        chosen = judge_rows(table.filter(pa.array(p <= SUSPECT_P)), judges)
        told += outlier_rows(chosen, np.zeros(chosen.num_rows, bool), champion).to_pylist()
    return [dataclasses.replace(finding, kind=UNUSUAL) for finding in outlier_findings(told)]


def carriers_of(rows: Rows) -> Carriers:
    """How many entities were seen with each link."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for table in rows.values():
        names = ("entity", "entity_id", "links")
        for entity, entity_id, links in zip(*(table[name].to_pylist() for name in names), strict=True):
            for kind, value in links or ():
                found[f"{kind}={value}"].add((entity, entity_id))
    return {link: len(who) for link, who in found.items()}


def days_of_queue(
    rows: Rows,
    judges: Judges,
    first_ms: int,
    days: int,
    is_right: Callable[[Incident], bool],
    settings: Settings,
) -> tuple[list[Incident], list[dict[str, Any]]]:
    """(incidents that reviewers saw on so many days, their reviews: the truth)."""
    config: Alerts = dataclasses.replace(settings.alerts, samples_per_day=0, unusual_until=10**9)
    state, shown, reviews = State(), dict[str, Incident](), list[Mapping[str, Any]]()
    for start in range(first_ms, first_ms + days * DAY_MS, DAY_MS):
        own, now = of_day(rows, start), start + DAY_MS + 2 * HOUR_MS
        batch = Batch([], now, carriers=carriers_of(own), unusual=suspects(own, judges, settings))
        raised = raise_incidents(state, batch, now, config, Rules(evidence=evidence(reviews, now, config)))
        state = raised.state
        new = [i for i in raised.changed if i.kind == UNUSUAL and i.state == OPEN]
        for incident, alert in zip(new, alert_rows(new, now, config).to_pylist(), strict=True):
            verdict = CONFIRMED if is_right(incident) else FALSE_ALARM
            reviews.append(review_row(alert, verdict, "", "ann", now + HOUR_MS, incident.incident_id))
            shown[incident.incident_id] = incident
    return list(shown.values()), [dict(row) for row in reviews]
