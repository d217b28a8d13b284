"""Training, gate and promotion as their jobs do them, on a real MLflow and a real lake."""

import argparse
import dataclasses
import datetime

import mlflow
import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F

from jobs import gate, promote, recalibrate_outliers, train_outliers, train_ranker
from pipelines import settings as settings_module
from pipelines.anomalies.behaviour import NAMES
from pipelines.anomalies.calibrating import calibrations_of
from pipelines.contracts.gold import BEHAVIOUR_VECTORS, TRAINING_ROWS
from pipelines.contracts.ops import GATE_RECORDS
from pipelines.contracts.watch import REVIEWS
from pipelines.domain import load_domain
from pipelines.errors import ModelError
from pipelines.features.definitions import compile_definitions
from pipelines.io import delta, reviewing
from pipelines.models import package
from pipelines.models.promotion import subject
from pipelines.models.registry import Registry
from tests.models.builders import NO_ITEMS, store, training_rows

QUICK = {"rounds": 6, "min_child_weight": 1.0, "l2": 1.0, "learning_rate": 0.3, "early_stopping": 3}


@pytest.fixture
def house(tmp_path, mlflow_server):
    """Settings of an installation whose models live in the suite's MLflow."""
    overrides = {
        "paths": {"state": str(tmp_path)},
        "mlflow": {"tracking_uri": mlflow_server.uri},
        "training": QUICK,
    }
    return settings_module.load(environ={}, overrides=overrides)


def a_domain(house, tmp_path, name):
    """The shop under another name, in a file of its own."""
    text = (
        (house.root / "conf" / "domains" / "shop.yml").read_text().replace("name: shop", f"name: {name}", 1)
    )
    path = tmp_path / f"{name}.yml"
    path.write_text(text)
    return path, load_domain(str(path), house)


@pytest.fixture(autouse=True)
def vectors(house, spark):
    """The vectors that the made-up rows are said to come from."""
    store(spark, house)


def run(job, house, spark, **args):
    return job.run(house, lambda: spark, argparse.Namespace(**({"version": None, "force": False} | args)))


def test_a_ranker_from_rows_to_champion(house, spark, tmp_path, capsys):
    path, domain = a_domain(house, tmp_path, "firstshop")
    definitions = compile_definitions(domain)
    registry, model = Registry(house.tracking_uri), f"{path}-ranker"
    delta.append(training_rows(spark, definitions, domain.name, decisions=400), TRAINING_ROWS, house)

    assert run(train_ranker, house, spark, domain=domain) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "firstshop-ranker 1"
    assert run(promote, house, spark, model=model) == 99, "no verdict yet"
    assert run(gate, house, spark, model=model) == 0
    assert run(promote, house, spark, model=model) == 0
    assert registry.current("firstshop-ranker") == "1"
    assert run(gate, house, spark, model=model) == 0, "the champion itself stays accepted"

    assert run(train_ranker, house, spark, domain=domain) == 0
    assert run(gate, house, spark, model=model) == 99, "the same model again is not better"
    assert run(promote, house, spark, model=model) == 99
    assert registry.current("firstshop-ranker") == "1"
    told = capsys.readouterr().out
    assert "firstshop-ranker 2 refused: ndcg_at_10" in told
    assert "firstshop-ranker 2 is not promoted: ndcg_at_10" in told
    assert run(promote, house, spark, model=model, force=True) == 0
    assert registry.current("firstshop-ranker") == "2"

    records = delta.read(spark, house, GATE_RECORDS).orderBy("decided_at").collect()
    assert [(r["action"], r["challenger"], r["champion"], r["accepted"]) for r in records] == [
        ("gate", "1", None, True),
        ("gate", "1", "1", True),
        ("gate", "2", "1", False),
        ("promotion by force", "2", "1", True),
    ]
    assert records[2]["figures"]["gain"] == 0.0
    checks = {check["name"]: check for check in records[2]["checks"]}
    assert [name for name, check in checks.items() if check["verdict"] == "failed"] == ["gain"]
    assert checks.keys() >= {"gain_low", "definitions", "vectors", "calibration", "latency", "stability"}
    assert checks["off_policy"]["verdict"] == "not judged"
    assert checks["latency"]["value"] <= checks["latency"]["limit"]
    second = registry.version("firstshop-ranker", "2")
    assert (second.tags["gate"], second.tags["stage"]) == ("refused", "champion")
    assert second.tags["gate.calibration"].startswith("passed: chances of an outcome are off by")
    page = mlflow.artifacts.load_text(f"runs:/{second.run_id}/gate.md")
    assert page.startswith("# firstshop-ranker 2: refused by gain\n")
    assert "against firstshop-ranker 1." in page
    pictures = {file.path for file in mlflow.artifacts.list_artifacts(run_id=second.run_id)}
    assert pictures >= {"learning_curve.png", "slices.png", "reliability.png", "what_features_add.png"}
    assert registry.parameters(registry.latest("firstshop-ranker"))["delta_version.gold.training_rows"] == "1"


def test_a_champion_of_other_features_meets_by_its_own_figures(house, spark, tmp_path, capsys):
    path, domain = a_domain(house, tmp_path, "changingshop")
    delta.append(training_rows(spark, compile_definitions(domain), domain.name, 120), TRAINING_ROWS, house)
    run(train_ranker, house, spark, domain=domain)
    run(promote, house, spark, model=f"{path}-ranker", force=True)
    before = path.read_text()
    path.write_text(
        before.replace("features:\n", "features:\n  - {name: one_more, kind: attribute, of: price}\n", 1)
    )
    changed = load_domain(str(path), house)
    assert compile_definitions(changed).hash != compile_definitions(domain).hash
    rows = training_rows(spark, compile_definitions(changed), changed.name, 120)
    delta.replace(rows, TRAINING_ROWS, house, f"domain = '{changed.name}'")
    run(train_ranker, house, spark, domain=changed)
    assert run(gate, house, spark, model=f"{path}-ranker") in (0, 99)
    assert "trained on other features or vectors and cannot score these rows" in capsys.readouterr().out

    path.write_text(before)
    older = training_rows(spark, compile_definitions(domain), domain.name, 120)
    delta.replace(older, TRAINING_ROWS, house, f"domain = '{domain.name}'")
    assert run(gate, house, spark, model=f"{path}-ranker") == 99
    hashes = [compile_definitions(of).hash for of in (changed, domain)]
    told = "trained on features {}, the domain file now declares {}: train again".format(*hashes)
    assert told in capsys.readouterr().out


def test_a_champion_with_other_vectors_meets_by_its_own_figures(house, spark, tmp_path, capsys):
    path, domain = a_domain(house, tmp_path, "turningshop")
    definitions, model = compile_definitions(domain), f"{path}-ranker"
    delta.append(training_rows(spark, definitions, domain.name, 120), TRAINING_ROWS, house)
    run(train_ranker, house, spark, domain=domain)
    run(promote, house, spark, model=model, force=True)
    newer = dataclasses.replace(NO_ITEMS, about='{"domain": "a shop", "until_ms": 1}')
    store(spark, house, newer)
    rows = training_rows(spark, definitions, domain.name, 120, vectors=newer)
    delta.replace(rows, TRAINING_ROWS, house, f"domain = '{domain.name}'")
    registry = Registry(house.tracking_uri)
    assert registry.parameters(registry.latest("turningshop-ranker"))["vectors_version"] == NO_ITEMS.version

    run(train_ranker, house, spark, domain=domain)
    assert registry.parameters(registry.latest("turningshop-ranker"))["vectors_version"] == newer.version
    assert run(gate, house, spark, model=model) in (0, 99)
    assert "other features or vectors and cannot score these rows" in capsys.readouterr().out

    older = training_rows(spark, definitions, domain.name, 120)
    delta.replace(older, TRAINING_ROWS, house, f"domain = '{domain.name}'")
    assert run(gate, house, spark, model=model) == 99
    told = f"carries the vectors {newer.version}, gold.training_rows was made with {NO_ITEMS.version}: train"
    assert told in capsys.readouterr().out


def store_vectors(spark, house, first, values):
    """Vectors of seven users, one every five minutes from window `first` on."""
    n, start = len(values), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    vectors = pd.DataFrame(
        {
            "entity": "user",
            "entity_id": [f"u{i % 7}" for i in range(n)],
            "window_minutes": np.full(n, 5, np.int32),
            "exposure": 1.0,
            "window_start": [start + datetime.timedelta(minutes=5 * (first + i)) for i in range(n)],
            "vector": list(values),
            "revision": 1,
        }
    )
    nothing = F.create_map().cast("map<string,string>")
    rows = spark.createDataFrame(vectors).withColumns({"day": F.to_date("window_start"), "links": nothing})
    delta.append(rows, BEHAVIOUR_VECTORS, house)


def store_verdicts(house, number):
    """False alarms of the most unusual of some days, each of a user of `store_vectors`."""
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    hour = datetime.timedelta(hours=1)
    rows = [
        {
            **{"review_id": f"r{n}", "incident_id": f"i{n}", "action": "verdict", "reviewer": "ann"},
            **{"verdict": "false_alarm", "kind": "unusual", "p": 1e-3, "exposure": 1.0},
            "entities": [{"entity": "user", "entity_id": f"u{n % 7}"}],
            "window_start": start + n * hour,
            "window_end": start + (n + 1) * hour,
            "reviewed_at": start + datetime.timedelta(days=3, hours=16),
            "day": start.date(),
        }
        for n in range(number)
    ]
    reviewing.append(house, REVIEWS, rows)


def test_outlier_models_from_vectors_to_champion_and_calibrated_anew(house, spark, tmp_path, capsys):
    path, domain = a_domain(house, tmp_path, "watchedshop")
    chance, model = np.random.default_rng(0), f"{path}-outliers"
    store_vectors(spark, house, 0, chance.gamma(2.0, 5.0, (400, len(NAMES))))
    assert run(train_outliers, house, spark, domain=domain) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "watchedshop-outliers 1"
    assert run(gate, house, spark, model=model) == 0
    assert run(promote, house, spark, model=model) == 0
    registry = Registry(house.tracking_uri)
    assert registry.current("watchedshop-outliers") == "1"
    look = {"domain": domain, "look": True, "force": False}
    assert run(recalibrate_outliers, house, spark, **look) == 0, "nothing is newer than the calibration"

    changed = chance.gamma(2.0, 9.0, (600, len(NAMES)))
    store_vectors(spark, house, 400, changed)
    assert run(recalibrate_outliers, house, spark, **look) == 99
    assert registry.current("watchedshop-outliers") == "1", "it only looked"
    assert run(recalibrate_outliers, house, spark, **(look | {"look": False})) == 0
    told = capsys.readouterr().out.splitlines()
    assert "the calibration does not hold: renew it" in told
    assert told[-1] == "watchedshop-outliers 2"
    assert registry.current("watchedshop-outliers") == "2"
    old, new = (
        package.load_outliers(registry.fetch("watchedshop-outliers", version, tmp_path / "fetched"))
        for version in ("1", "2")
    )
    np.testing.assert_array_equal(old.main.score(changed), new.main.score(changed))
    p = [calibrations_of(each)["user/5"].p_values(each.main.score(changed))[0] for each in (old, new)]
    assert np.mean(p[0] <= 0.05) > 0.1
    assert np.mean(p[1] <= 0.05) == pytest.approx(0.05, abs=0.01)
    [row] = delta.read(spark, house, GATE_RECORDS).where("action = 'recalibration'").collect()
    assert (row["challenger"], row["champion"], row["accepted"]) == ("2", "1", True)
    assert row["figures"]["capital_user/5"] > 100
    assert run(recalibrate_outliers, house, spark, **look) == 0, "nothing is newer"

    store_vectors(spark, house, 1_000, chance.gamma(2.0, 9.0, (60, len(NAMES))))
    assert run(recalibrate_outliers, house, spark, **look) == 0, "what is newer is alike"
    store_verdicts(house, house.alerts.unusual_until)
    assert run(recalibrate_outliers, house, spark, **look) == 99
    assert "reviews have shown since the calibration what is wrong" in capsys.readouterr().out
    assert run(recalibrate_outliers, house, spark, **(look | {"look": False})) == 0
    place = registry.fetch("watchedshop-outliers", "3", tmp_path / "fetched")
    assert package.load_outliers(place).order["evidence"]["reviews"] == house.alerts.unusual_until
    assert run(recalibrate_outliers, house, spark, **look) == 0, "they are known now"


@pytest.mark.parametrize("model", ["shop", "shop-tuner", "-ranker"])
def test_a_name_that_is_no_model_is_refused(house, model):
    with pytest.raises(ModelError, match="names are <domain>-ranker and <domain>-outliers"):
        subject(model, house)
