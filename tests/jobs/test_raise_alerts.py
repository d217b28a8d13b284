"""`raise_alerts` over real tables: findings in, incidents and notifications out, once."""

import argparse
import dataclasses

import pyarrow as pa
import pytest

from jobs import raise_alerts
from pipelines import settings as settings_module
from pipelines.anomalies.alert_rows import utc
from pipelines.anomalies.findings import OUTLIER
from pipelines.contracts.gold import OUTLIERS
from pipelines.contracts.types import arrow_schema
from pipelines.contracts.watch import ALERTS, METRIC_VERDICTS, SILENCES, SUPPRESSED
from pipelines.io import checkpoints, delta, lake, reviewing
from tests.builders_watch import MINUTE, NOON_MS, a_drop, an_outlier


@pytest.fixture
def installed(tmp_path):
    overrides = {
        "paths": {"state": str(tmp_path)},
        "alerts": {"to_kafka": False, "samples_per_day": 10_000, "notify_level": "low"},
    }
    settings = settings_module.load(environ={}, overrides=overrides)
    for table in (OUTLIERS, METRIC_VERDICTS, ALERTS, SUPPRESSED):
        delta.ensure_local(settings, table)
    return settings


def outlier_row(finding, is_found=True):
    start, end = utc(finding.window_start_ms), utc(finding.window_end_ms)
    return {
        "entity": finding.entity,
        "entity_id": finding.entity_id,
        "window_minutes": 5,
        "window_start": start,
        "window_end": end,
        "day": start.date(),
        "p_value": finding.p,
        "is_found": is_found,
        "reasons": [dataclasses.asdict(reason) for reason in finding.reasons],
        "links": list(finding.links.items()),
        "exposure": finding.exposure,
        "calibration": "c1",
        "revision": 1,
    }


def verdict_row(finding, alert=True):
    metric, _, segment = finding.entity_id.partition("@")
    start, reason = utc(finding.window_start_ms), finding.reasons[0]
    return {
        "metric": metric,
        "segment": segment,
        "window_start": start,
        "window_end": utc(finding.window_end_ms),
        "day": start.date(),
        "value": reason.value,
        "low": reason.low,
        "high": reason.high,
        "p": finding.p,
        "alert": alert,
        "missing": finding.exposure,
        "calibration": "w1",
        "revision": 1,
    }


def arrive(settings, *findings, usual=()):
    outliers = [outlier_row(f) for f in findings if f.kind == OUTLIER] + [
        outlier_row(f, False) for f in usual
    ]
    verdicts = [verdict_row(f) for f in findings if f.kind != OUTLIER]
    for table, rows in ((OUTLIERS, outliers), (METRIC_VERDICTS, verdicts)):
        delta.append_arrow(pa.Table.from_pylist(rows, arrow_schema(table.schema)), table, settings, "")


def once(settings, spark):
    [query] = raise_alerts.run(settings, spark, argparse.Namespace(once=True))
    query.awaitTermination()
    assert query.exception() is None
    checkpoints.disown(settings, raise_alerts.QUERY)
    return lake.rows(settings, ALERTS, ALERTS.schema.names).to_pylist()


def test_findings_become_incidents_that_go_on_in_the_next_run(spark, installed):
    links, office = {"address": "a1"}, {"address": "office"}
    bots = [an_outlier(f"bot{n}", n % 3 * 5, links=links) for n in range(30)]
    clerks = [an_outlier(f"clerk{n}", links=office) for n in range(2)]
    staff = [an_outlier(f"staff{n}", p=0.6, links=office) for n in range(40)]
    arrive(installed, *bots, a_drop(), a_drop(segment="source=web"), *clerks, usual=staff)
    first = once(installed, spark)
    raised = sorted((a["kind"], a["entities"]) for a in first if a["kind"] != "sample")
    assert raised == [("drop", 1), ("outlier", 1), ("outlier", 1), ("outlier", 30)]
    assert [a["chance"] for a in first if a["kind"] == "sample"] == [1.0] * 40

    silence = reviewing.silence_row({"metric": "views"}, 1.0, "a test", "ann")
    reviewing.append(installed, SILENCES, [silence])
    arrive(installed, an_outlier("bot0", 20, p=1e-6), a_drop("views", minute=20))
    second = once(installed, spark)
    assert {a["incident_id"] for a in second} == {a["incident_id"] for a in first}
    [bots_now] = [a for a in second if a["entities"] == 30]
    assert (bots_now["p"], bots_now["window_end"], bots_now["revision"]) == (
        *(1e-6, utc(NOON_MS + 25 * MINUTE)),
        2,
    )
    suppressed = lake.rows(installed, SUPPRESSED, ["why", "entity_id"]).to_pylist()
    assert sorted((row["why"], row["entity_id"]) for row in suppressed) == [
        ("inhibited", "clicks@source=web"),
        ("silenced", "views@all"),
    ]
