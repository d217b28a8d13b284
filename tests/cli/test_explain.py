"""`lakepulse explain`, on a real MLflow and a real lake: the logged scores again, or what is missing."""

import datetime
import json

import numpy as np
import pyarrow as pa
import pytest

from pipelines import cli
from pipelines import settings as settings_module
from pipelines.contracts.gold import SCORES, TRAINING_ROWS
from pipelines.contracts.silver import DECISIONS
from pipelines.contracts.types import arrow_schema
from pipelines.io import delta
from pipelines.models import calibration, package
from pipelines.models.explanation import as_scored
from pipelines.models.registry import Registry
from tests.models.builders import NAMES, a_small_ranker, a_training, impatient, some_examples

NAME, AT = "explained-ranker", datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
DEFINITIONS = json.dumps({"features": [{"name": "f5", "kind": "position", "fixed": 1.0}]})
EXAMPLES = some_examples(60)
ITEMS = ["i0", "i1", "i2", "i3"]
ROWS = EXAMPLES.features[:4]


@pytest.fixture(scope="module")
def known(mlflow_server, tmp_path_factory):
    """The registry with one version of a calibrated ranker, and that ranker."""
    folder, booster = tmp_path_factory.mktemp("explain") / "ranker", a_small_ranker().booster
    chances = calibration.fit(booster.inplace_predict(EXAMPLES.features), EXAMPLES.labels > 0)
    package.save_ranker(folder, booster, DEFINITIONS, "0123abcd", EXAMPLES.features, calibrator=chances)
    registry = Registry(mlflow_server.uri)
    registry.register(a_training(folder, NAME))
    return registry, package.load_ranker(folder)


@pytest.fixture
def house(known, tmp_path, monkeypatch):
    """An installation with a lake of its own."""
    monkeypatch.setenv("LAKEPULSE__PATHS__STATE", str(tmp_path))
    monkeypatch.setenv("LAKEPULSE__MLFLOW__TRACKING_URI", known[0].uri)
    impatient(monkeypatch)
    return settings_module.load()


def write(house, table, rows):
    schema = arrow_schema(table.schema)
    whole = [dict.fromkeys(schema.names) | row for row in rows]
    delta.append_arrow(pa.Table.from_pylist(whole, schema), table, house, mark="")


def log_scores(house, scores, decision="d'1"):
    order = np.argsort(-scores, kind="stable")
    rows = [
        {
            "decision_id": decision,
            "item_id": ITEMS[k],
            "user_id": "ann",
            "decided_at": AT,
            "position": int(k) + 1,
            "score": float(scores[k]),
            "rank": rank,
            "model_name": NAME,
            "model_version": "1",
        }
        for rank, k in enumerate(order, 1)
    ]
    write(house, SCORES, rows)


def keep_features(house, features=ROWS, items=ITEMS, **changes):
    rows = [
        {
            "domain": "explained",
            "decision_id": "d'1",
            "item_id": item,
            "position": position,
            "features": row.tolist(),
            "definitions_hash": "0123abcd",
        }
        | changes
        for position, (item, row) in enumerate(zip(items, features, strict=True), 1)
    ]
    write(house, TRAINING_ROWS, rows)


@pytest.fixture
def scores(known):
    """What the stream logs: scores of the features with the position at its fixed value."""
    ranker = known[1]
    return ranker.score(as_scored(ranker, ROWS))


def explain(capsys, *words):
    code = cli.main(["explain", *words])
    return code, *capsys.readouterr()


def test_scores_come_out_again_with_model_tables_and_what_each_feature_adds(house, scores, capsys):
    log_scores(house, scores)
    keep_features(house)
    code, out, error = explain(capsys, "d'1", "--json")
    assert (code, error) == (0, "")
    found = json.loads(out)
    assert (found["model"], found["version"], found["git_revision"]) == (NAME, "1", "deadbeef")
    assert found["trained_on_table_versions"] == {"gold.training_rows": "3"}
    assert found["features_from"] == "gold.training_rows at version 0"
    assert found["missing"] == []
    for item in found["items"]:
        assert item["replayed"] == item["score"]
        assert set(item["features"]) == set(NAMES)
        total = item["starts_from"] + sum(f["adds"] for f in item["features"].values())
        assert total == pytest.approx(item["score"], abs=1e-5)
        assert item["features"]["f5"]["value"] == 1.0, "as it was when the ranker scored"
        assert 0 <= item["chance"] <= 1
    assert [item["rank"] for item in found["items"]] == [1, 2, 3, 4]


def test_tables_explain_the_first_item_and_a_pair(house, scores, capsys):
    log_scores(house, scores)
    keep_features(house)
    best = ITEMS[int(np.argmax(scores))]
    code, out, _ = explain(capsys, "d'1", "--top", "2")
    assert code == 0
    assert f"scored by {NAME} 1 (code deadbeef, trained on gold.training_rows version 3)" in out
    assert f"{best}: every score starts from" in out
    assert "4 other features add" in out
    assert "all 4 scores are those that were logged, to the last bit" in out
    code, out, _ = explain(capsys, "d'1", "--item", "i1", "--against", "i3")
    assert code == 0
    assert f"i1 against i3: {scores[1]:+.4f} and {scores[3]:+.4f}" in out


def test_a_score_that_differs_in_its_last_bit_is_told(house, scores, capsys):
    changed = scores.copy()
    changed[2] = np.nextafter(changed[2], np.float32(9))
    log_scores(house, changed)
    keep_features(house)
    code, out, _ = explain(capsys, "d'1")
    assert code == 1
    assert "missing: 1 of 4 scores are not those that were logged (i2)" in out


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (None, "gold.training_rows (version None) has no row of it; build_training_set keeps them"),
        ({"definitions_hash": "ffff"}, "keeps features ffff, the model takes 0123abcd"),
        ({"vectors_version": "v1"}, "made with the vectors v1, the model carries None"),
        ({"items": ITEMS[:3], "features": ROWS[:3]}, "has no row of i3, which were scored"),
    ],
    ids=["no rows", "other features", "other vectors", "an item less"],
)
def test_what_is_missing_is_told_exactly(house, scores, capsys, kept, told):
    log_scores(house, scores)
    if kept is not None:
        keep_features(house, **kept)
    code, out, _ = explain(capsys, "d'1")
    assert code == 1
    assert told in out
    code, out, _ = explain(capsys, "d'1", "--json")
    assert code == 1
    assert told in json.loads(out)["missing"][0]


def test_an_item_that_was_not_shown_is_an_error_of_one_line(house, scores, capsys):
    log_scores(house, scores)
    keep_features(house)
    code, _, error = explain(capsys, "d'1", "--item", "ii1")
    assert code == 1
    assert error.startswith("lakepulse explain: the decision did not show 'ii1'; did you mean")


def test_a_decision_that_nobody_scored_is_told_apart_from_one_that_is_not_there(house, capsys):
    write(house, DECISIONS, [{"decision_id": "d2", "event_time": AT}])
    code, _, error = explain(capsys, "d3")
    assert (code, error) == (
        1,
        "lakepulse explain: there is no decision d3 in the lake: neither in gold.scores nor in "
        "silver.decisions\n",
    )
    code, _, error = explain(capsys, "d2")
    assert code == 1
    assert (
        "decision d2 of 2026-01-01 12:00:00 UTC is in silver.decisions, but no model has scored it" in error
    )
