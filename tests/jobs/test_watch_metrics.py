"""The watch of metrics on a real lake: complete windows only, causes, mutes, late corrections, and the same
verdicts wherever its process ends."""

import argparse
import dataclasses
import datetime
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs import watch_metrics
from pipelines import cli
from pipelines import settings as settings_module
from pipelines.anomalies.drop_findings import drop_findings
from pipelines.anomalies.findings import DROP, Reason
from pipelines.anomalies.metric_watch import Learnt, ShopWatch
from pipelines.contracts.gold import ENGAGEMENT
from pipelines.contracts.types import arrow_schema
from pipelines.contracts.watch import METRIC_VERDICTS
from pipelines.io import checkpoints, delta, lake, watching
from pipelines.io.watching import Watcher
from tests.builders_gold import a_shop

MONDAY = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
HOUR, SHARES = 60, {"all": 1.0, "source=web": 0.6, "source=mobile": 0.4}
SHOP, DAYS = a_shop(), 10


def at(hours):
    return MONDAY + datetime.timedelta(hours=hours)


@pytest.fixture
def settings(tmp_path):
    """Windows of an hour, so that weeks are few rows."""
    watch = {
        "window_minutes": HOUR,
        "settle_minutes": HOUR,
        "level_lag_minutes": 3 * HOUR,
        "published_hours": 10_000,
    }
    return settings_module.load(environ={}, overrides={"paths": {"state": str(tmp_path)}, "watch": watch})


def rows_of(hours, lost=None, revision=1, seed=1):
    """A row an hour of clicks and click_through per segment; from an hour on, `lost` maps segments to the
    share that is lost there."""
    begin, parts = lost or (10**9, {})
    rows = []
    for hour in hours:
        chance = np.random.default_rng([seed, hour])
        clicks = {}
        for segment in list(SHARES)[1:]:
            mean = 2000 * SHARES[segment] * (1 + 0.6 * np.sin(hour / 24 * 2 * np.pi))
            clicks[segment] = int(
                chance.poisson(mean * (1 - (parts.get(segment, 0) if hour >= begin else 0)))
            )
        clicks["all"] = sum(clicks.values())
        for segment, number in clicks.items():
            shown = int(2000 * SHARES[segment] * 10)
            row = {"minute": at(hour), "day": at(hour).date(), "segment": segment, "is_removed": False}
            row["revision"] = revision
            rows.append(row | {"metric": "clicks", "value": float(number), "exposure": None})
            rows.append(row | {"metric": "click_through", "value": number / shown, "exposure": shown})
    return [row for row in rows if row["value"] > 0]


def publish(settings, rows):
    """Append rows to gold.engagement."""
    delta.ensure_local(settings, ENGAGEMENT)
    found = pa.Table.from_pylist(rows, arrow_schema(ENGAGEMENT.schema))
    delta.append_arrow(found, ENGAGEMENT, settings, mark="")


def watch(settings, spark):
    """One run of the job over what is there."""
    (query,) = watch_metrics.run(settings, spark, argparse.Namespace(domain=SHOP, once=True))
    try:
        query.awaitTermination()
    finally:
        checkpoints.disown(settings, watch_metrics.QUERY)


def verdicts(settings):
    """Valid rows of gold.metric_verdicts by key, without what differs between runs."""
    rows = lake.rows(settings, METRIC_VERDICTS, METRIC_VERDICTS.schema.names).to_pylist()
    return {(r["metric"], r["segment"], r["window_start"]): r | {"revision": 0} for r in rows}


def stored(settings):
    return lake.stored_rows(settings, METRIC_VERDICTS)


def test_a_drop_is_told_with_its_cause_once_wherever_the_process_ends(settings, spark, tmp_path, monkeypatch):
    drop = DAYS * 24 - 4
    rows = rows_of(range(DAYS * 24), (drop, {"source=web": 0.7}))
    publish(settings, rows)
    watch(settings, spark)
    found = verdicts(settings)
    judged = {when for _, _, when in found}
    assert max(judged) == at(DAYS * 24 - 3), "a window was judged before an hour after its end had rows"
    assert len(judged) == DAYS * 24 - 2
    assert len(found) == stored(settings) == 6 * len(judged)
    alerts = [row for row in found.values() if row["alert"]]
    assert {(r["metric"], r["segment"]) for r in alerts} == {("clicks", "all"), ("click_through", "all")}
    whole = found["clicks", "all", at(drop)]
    assert whole["alert"]
    assert whole["p"] < 1e-3
    assert whole["causes"][0]["segment"] == "source=web"
    assert whole["causes"][0]["share"] > 0.9
    assert 0.5 < whole["causes"][0]["usual_share"] < 0.7
    assert whole["missing"] == pytest.approx(whole["expected"] - whole["value"])
    muted = found["clicks", "source=web", at(drop)]
    assert (muted["alert"], muted["muted_by"], muted["ongoing"]) == (False, "all", True)
    assert found["clicks", "source=mobile", at(drop)]["muted_by"] is None

    apart = dataclasses.replace(
        settings, paths=dataclasses.replace(settings.paths, state=str(tmp_path / "apart"))
    )
    hours = lambda first, last: [r for r in rows if at(first) <= r["minute"] < at(last)]  # noqa: E731
    publish(apart, hours(0, 200))
    watch(apart, spark)
    publish(apart, hours(200, drop + 2))
    with monkeypatch.context() as killed:  # after what is to be written was kept, before it is written
        killed.setattr(
            watching.delta, "append_rows_once", lambda *_: (_ for _ in ()).throw(RuntimeError("killed"))
        )
        with pytest.raises(Exception, match="killed"):
            watch(apart, spark)
    publish(apart, hours(drop + 2, 10**4))
    watch(apart, spark)
    watch(apart, spark)
    assert verdicts(apart) == found, "a restart changed a verdict"
    done = Path(apart.checkpoints) / watch_metrics.QUERY / "commits"
    max(done.glob("[0-9]*"), key=lambda path: int(path.name)).unlink()
    watch(apart, spark)
    assert stored(apart) == len(found), "a repeated micro-batch wrote rows again"


def test_findings_are_what_alerts_take(settings, spark):
    row = {
        **{
            "metric": "clicks",
            "segment": "all",
            "alert": True,
            "value": 3.0,
            "low": 90.0,
            "high": 110.0,
            "p": 1e-9,
        },
        **{"window_start": at(0), "window_end": at(1), "missing": 97.0, "calibration": "c1"},
        "causes": [{"segment": "source=web", "share": 0.9, "usual_share": 0.6}],
    }
    others = [row | {"alert": False}, row | {"segment": "source=web", "causes": None, "value": None}]
    whole, part = drop_findings([row, *others])
    assert (whole.kind, whole.entity, whole.entity_id, whole.exposure) == (DROP, "metric", "clicks@all", 97.0)
    assert whole.window_end_ms - whole.window_start_ms == 3_600_000
    assert whole.reasons == (Reason("clicks", 3.0, 90.0, 110.0), Reason("share of source=web", 0.9, 0.0, 0.6))
    assert (whole.links, part.links, part.entity_id) == ({}, {"segment": "source=web"}, "clicks@source=web")


def test_late_rows_count_until_a_window_is_complete_and_silence_completes_it(settings, spark):
    publish(settings, rows_of(range(30)))
    late = {"minute": at(28), "day": at(28).date(), "segment": "all", "metric": "clicks", "exposure": None}
    publish(settings, [late | {"value": 5.0, "is_removed": False, "revision": 2}])
    gone = {"minute": at(27), "day": at(27).date(), "segment": "all", "metric": "clicks", "exposure": None}
    publish(settings, [gone | {"value": 5.0, "is_removed": True, "revision": 2}])
    publish(settings, rows_of(range(30, 31)))
    batch = delta.Batch("watch:1", 0, is_first=True)
    rows = delta.read(spark, settings, ENGAGEMENT)
    now = [at(30.1).timestamp() * 1000]
    watcher = Watcher(settings, SHOP, lambda: int(now[0]), "watch_metrics")
    assert watcher.take(rows.select("minute"), batch) == 29
    found = verdicts(settings)
    assert found["clicks", "all", at(28)]["value"] == 5.0
    assert found["clicks", "all", at(27)]["value"] == 0.0
    nothing = rows.select("minute").where("false")
    assert watcher.take(nothing, dataclasses.replace(batch, id=1, is_first=False)) == 0
    now[0] = at(33.3).timestamp() * 1000
    assert watcher.take(nothing, dataclasses.replace(batch, id=2, is_first=False)) == 4
    assert verdicts(settings)["clicks", "all", at(32)]["value"] == 0.0


def test_a_month_of_silence_is_passed_at_once_with_the_rows_of_walking_through_them(settings, monkeypatch):
    def told(metrics_watch, begins, recent):
        return list(watching._judged(metrics_watch, begins, {}, (), recent))

    hour, found = 3_600_000, []
    first = round(at(0).timestamp() * 1000)
    for is_walked in (False, True):
        shop = ShopWatch(SHOP.metrics, settings.watch, Learnt())
        for number in range(200):
            rows = rows_of([number])
            window = {(row["metric"], row["segment"]): (row["value"], row["exposure"] or 0) for row in rows}
            shop.judge(first + number * hour, window, ())
        begins = range(first + 200 * hour, first + 200 * hour + 32 * 24 * hour, hour)
        with monkeypatch.context() as walking:
            if is_walked:
                walking.setattr(ShopWatch, "is_still", False)
            rows = told(shop, begins, begins[-48])
        found.append((repr(rows), [group.state for group in shop.remembered().groups], shop.learnt.next_ms))
    assert found[0] == found[1]
    assert "True" in found[0][0]


def test_the_calendar_is_heeded_and_the_command_line_tells_the_latest(settings, spark, monkeypatch, capsys):
    path = settings.state / "calendar.yml"
    path.write_text(f"[{{name: sale, start: '{at(20)}', end: '{at(22)}', metrics: clicks}}]")
    publish(settings, rows_of(range(30)))
    watch(settings, spark)
    reasons = {
        when: row["reason"]
        for (metric, segment, when), row in verdicts(settings).items()
        if metric == "clicks"
    }
    assert [reasons[at(hour)] for hour in (19, 20, 21, 22)] == [
        "too little history",
        "known event: sale",
        "known event: sale",
        "too little history",
    ]
    monkeypatch.setenv("LAKEPULSE__PATHS__STATE", str(settings.state))
    assert cli.main(["metrics", "click*", "--segment", "source=*", "--json"]) == 0
    latest = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = ("clicks", "click_through")
    every = {(metric, segment) for metric in names for segment in ("source=web", "source=mobile")}
    assert {(row["metric"], row["segment"]) for row in latest} == every
    assert {row["window_end"][:13] for row in latest} == {f"{at(28):%Y-%m-%dT%H}"}
    assert all(row["detectable"] > 0 for row in latest)
    assert cli.main(["metrics"]) == 0
    assert "clicks@all" in capsys.readouterr().out
