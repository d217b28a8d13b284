"""Judging of behaviour vectors: each row by itself, p-values, reasons, discoveries, findings."""

import datetime
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from pipelines.anomalies.calibrating import calibrated, calibrations_of, drifts, unconfirmed
from pipelines.anomalies.calibration import Rule
from pipelines.anomalies.discoveries import Past
from pipelines.anomalies.findings import OUTLIER
from pipelines.anomalies.judging import (
    Judges,
    decay_of,
    discovered,
    judge_rows,
    judged,
    one_of_key,
    outlier_rows,
    past_of,
)
from pipelines.anomalies.outlier_findings import outlier_findings
from pipelines.anomalies.reviews import Confirmed
from pipelines.contracts.gold import BEHAVIOUR_VECTORS, OUTLIERS
from pipelines.contracts.scoring import JUDGED, TO_JUDGE
from pipelines.contracts.types import arrow_schema
from pipelines.errors import ModelError
from pipelines.models import package
from pipelines.models.outlier_training import by_kind
from pipelines.models.outliers import OutlierModel
from pipelines.models.scoring import Champion

NAMES = ("clicks", "carts", "gap")
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
HOUR_MS = 3_600_000


def some(seed, n, scale=5.0):
    return np.random.default_rng(seed).gamma(2.0, scale, (n, len(NAMES)))


MODELS = {
    "user/5": OutlierModel.fit(some(1, 600), names=NAMES, seed=1),
    "device/60": OutlierModel.fit(some(2, 300, 50.0), names=NAMES, seed=1),
}
OUTLIERS_OF = calibrated(MODELS, {"user/5": some(3, 500), "device/60": some(4, 300, 50.0)}, Rule())
JUDGES = Judges(OUTLIERS_OF, calibrations_of(OUTLIERS_OF))
CHAMPION = Champion("shop-outliers", "3", "unused", "unused")


def rows(vectors, kind="user/5", start=START, revision=1, ids=None):
    entity, _, minutes = kind.partition("/")
    n = len(vectors)
    columns = {
        "entity": [entity] * n,
        "entity_id": ids or [f"{entity}{i}" for i in range(n)],
        "window_minutes": np.full(n, int(minutes), np.int32),
        "window_start": [start + datetime.timedelta(minutes=int(minutes) * i) for i in range(n)],
        "vector": list(np.asarray(vectors)),
        "links": pa.array([[("address", "home")]] * n, pa.map_(pa.string(), pa.string())),
        "exposure": np.full(n, 7.0),
        "revision": np.full(n, revision),
    }
    return pa.table(columns, schema=arrow_schema(TO_JUDGE))


MIXED = pa.concat_tables(
    [
        rows(some(5, 40)),
        rows(some(6, 20, 50.0), "device/60"),
        rows(some(7, 3), "session/60"),
        rows([[1e6, 1e6, 1e6]], ids=["bot"]),
    ]
)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_row_is_judged_by_itself_and_by_the_models_of_its_kind(size):
    whole = judge_rows(MIXED, JUDGES)
    assert whole.schema.equals(arrow_schema(JUDGED))
    order = np.random.default_rng(size).permutation(MIXED.num_rows)
    parts = [judge_rows(MIXED.take(order[i : i + size]), JUDGES) for i in range(0, len(order), size)]
    assert pa.concat_tables(parts).take(np.argsort(order)).equals(whole)
    found = whole.to_pylist()
    expected = MODELS["device/60"].score(some(6, 20, 50.0))
    assert [r["score"] for r in found[40:60]] == expected.tolist()
    p, _ = JUDGES.calibrations["device/60"].p_values(expected)
    assert [r["p_value"] for r in found[40:60]] == p.tolist()
    assert {r["calibration"] for r in found[40:60]} == {JUDGES.calibrations["device/60"].version}
    unknown = [found[60][name] for name in ("score", "rank", "p_value", "is_tail", "reasons", "calibration")]
    assert unknown == [None] * 6, "no model knows sessions"
    assert found[63]["p_value"] <= 1 / 501
    reason = found[63]["reasons"][0]
    assert reason["name"] == found[63]["top_features"][0]
    assert reason["low"] < reason["high"] < reason["value"] == 1e6


def test_workers_judge_as_one_process_does(spark, tmp_path):
    package.save_outliers(
        tmp_path / "shop-outliers" / "3", OUTLIERS_OF, {kind: some(5, 20) for kind in MODELS}
    )
    champion = replace(CHAMPION, cache=str(tmp_path))
    frame = spark.createDataFrame(MIXED.cast(arrow_schema(TO_JUDGE)), TO_JUDGE)
    key = [("entity", "ascending"), ("entity_id", "ascending")]
    expected = judge_rows(MIXED, JUDGES).sort_by(key)
    assert judged(frame.repartition(2), champion).sort_by(key).equals(expected)
    assert judged(frame.limit(0), champion).equals(expected.slice(0, 0))


def test_a_vector_of_another_width_is_refused():
    with pytest.raises(ModelError, match="a behaviour vector has 4 values, the outlier model needs 3"):
        judge_rows(rows(np.ones((2, 4))), JUDGES)


def test_discoveries_become_rows_of_the_table_and_findings():
    results = judge_rows(MIXED, JUDGES)
    found, kept = discovered(results, [], share=0.1, batches=100)
    assert results.filter(pa.array(found))["entity_id"].to_pylist() == ["bot"]
    assert (kept.found, kept.most) == (1, 2)
    table = outlier_rows(results, found, CHAMPION)
    assert table.schema.equals(arrow_schema(OUTLIERS.schema))
    stored = table.to_pylist()
    assert [r["is_found"] for r in stored[59:]] == [False, None, None, None, True]
    assert stored[40]["window_end"] - stored[40]["window_start"] == datetime.timedelta(hours=1)
    findings = outlier_findings(stored)
    assert len(findings) == 61, "a row without a p-value is none"
    bot = findings[-1]
    assert (bot.kind, bot.entity, bot.entity_id, bot.exposure) == (OUTLIER, "user", "bot", 7.0)
    assert (bot.links, bot.window_end_ms - bot.window_start_ms) == ({"address": "home"}, 300_000)
    assert bot.reasons[0].value == 1e6
    assert bot.p == stored[-1]["p_value"]


def test_what_earlier_batches_have_cost_is_charged_to_the_next():
    results = judge_rows(rows(some(8, 30)), JUDGES)
    poor = [Past(0.1, 0, 1)] * 5
    assert discovered(results, poor, share=0.1, batches=100)[1].level == 0.0
    assert decay_of(100) ** 100 == pytest.approx(1 / np.e)
    stored = pa.table({"number": [3, 9, 5], "level": [0.3, 0.9, 0.5], "found": [3, 9, 5], "most": [3, 9, 5]})
    assert past_of(stored, 2) == [Past(0.5, 5, 5), Past(0.9, 9, 9)]


def test_a_window_that_comes_twice_in_a_batch_is_one_hypothesis():
    twice = pa.concat_tables([rows(some(9, 3)), rows(some(10, 2), revision=2)])
    kept = one_of_key(twice)
    assert kept["revision"].to_pylist() == [1, 2, 2]
    assert one_of_key(kept).equals(kept)


def windows(vectors, **about):
    made = rows(vectors, **about)
    return made.select([n for n in made.column_names if n in BEHAVIOUR_VECTORS.schema.names])


def test_the_bet_is_won_where_vectors_have_changed_and_only_there():
    as_before, changed = by_kind(windows(some(11, 900))), by_kind(windows(some(11, 900, 9.0)))
    [same], [other] = (drifts(OUTLIERS_OF, newer, seed=1) for newer in (as_before, changed))
    assert (same.kind, same.vectors) == ("user/5", 900)
    assert not same.is_broken(100.0)
    assert other.is_broken(100.0)
    assert other.share_below_5 > 0.1
    assert "user/5: 900 vectors" in str(same)
    assert drifts(OUTLIERS_OF, by_kind(windows(some(1, 5), kind="session/60")), seed=1) == []


def test_what_is_confirmed_to_be_wrong_leaves_calibration_and_nothing_else_does():
    every = pa.concat_tables([windows(some(12, 4), ids=["ann"] * 4), windows(some(13, 1), kind="device/60")])
    start = round(START.timestamp() * 1000)
    wrong = [Confirmed("user", "ann", start + 5 * 60_000, start + 10 * 60_000, "i1")]
    wrong.append(Confirmed("device", "ann", start, start + HOUR_MS, "i2"))
    left = unconfirmed(every, wrong)
    assert left.num_rows == every.num_rows - 1
    assert left["window_start"].to_pylist()[:3] == [
        START + datetime.timedelta(minutes=5 * n) for n in (0, 2, 3)
    ]
    assert unconfirmed(every, []) is every
