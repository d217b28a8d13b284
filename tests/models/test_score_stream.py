"""The streams that score decisions and judge vectors, on a real lake and a real MLflow: they wait for a
champion, take new ones, survive without MLflow."""

import argparse
import dataclasses
import datetime
import logging

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from jobs import score_stream, watch_outliers
from pipelines import settings as settings_module
from pipelines.anomalies.behaviour import NAMES
from pipelines.anomalies.calibrating import calibrated
from pipelines.anomalies.calibration import Rule
from pipelines.contracts.gold import BEHAVIOUR_VECTORS, OUTLIERS, SCORES
from pipelines.contracts.ops import OUTLIER_BATCHES
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.domain import parse_domain
from pipelines.features.definitions import compile_definitions
from pipelines.features.history import DECISION_COLUMNS
from pipelines.io import checkpoints, delta
from pipelines.models import package, ranker
from pipelines.models.carried import Carried, Silver
from pipelines.models.outliers import OutlierModel
from pipelines.models.packed_features import VALUE
from pipelines.models.registered import Training
from pipelines.models.registry import Registry
from tests import builders_features as b
from tests.models.builders import some_examples, some_training

FEATURES = """
  - {name: price, kind: attribute, of: price}
  - {name: clicks, kind: count, of: click, by: item}
  - {name: seen, kind: count, of: shown, by: [user, item], slots: 8}
  - {name: mine, kind: count, of: click, by: user}
  - {name: position, kind: position, fixed: 3}
  - {name: words, kind: attribute, of: title, measure: words}
"""
MINUTE = b.MINUTE


def history(first, last):
    """A decision a minute of ann or bob, with a click half a minute later; each user has a partition."""
    rows = []
    for minute in range(first, last):
        user, at = ("ann", "bob")[minute % 2], b.NOW + minute * MINUTE
        place = {"user_id": user, "partition": minute % 2}
        items = [f"i{(minute + k) % 7}" for k in range(4)]
        rows.append(
            b.a_decision(decision_id=f"d{minute}", items=items, event_time=at, offset=2 * minute, **place)
        )
        clicked = {"event_time": at + MINUTE // 2, "offset": 2 * minute + 1, "item_id": items[minute % 3]}
        rows.append(b.an_event(event_id=f"e{minute}", **clicked, **place))
    return rows


def on_its_day(contract, rows):
    """Rows as a table of silver, with what partitions it."""
    table = b.table(contract, rows)
    if "event_date" in table.column_names:
        day = pc.cast(table["event_time"], pa.date32())
        table = table.set_column(table.column_names.index("event_date"), "event_date", day)
    return table


class Lake:
    """A small lake of silver, and the silver that a carrier reads, kept in memory as Spark frames."""

    def __init__(self, spark):
        self.spark = spark
        self.tables = {table: [] for table in (EVENTS, DECISIONS, ITEMS)}

    def add(self, rows):
        self.tables[EVENTS] += [r for r in rows if "event_id" in r]
        self.tables[DECISIONS] += [r for r in rows if "decision_id" in r and "items" in r]

    def silver(self):
        return Silver(self.read, lambda table: len(self.tables[table]))

    def read(self, table):
        return self.spark.createDataFrame(on_its_day(table, self.tables[table]), table.schema)


DOMAIN = parse_domain(b.SHOP.replace("corner shop", "cornershop") + FEATURES, "shop.yml")
DEFINITIONS = compile_definitions(DOMAIN)


def an_item(item_id, offset, since, price):
    where = {"topic": "catalog", "partition": 0, "offset": offset, "arrived_at": since}
    return b.an_item(item_id, since, price=price, title=f"shoe {item_id}") | where


ITEM_ROWS = [an_item(f"i{k}", offset=k, since=0, price=float(k)) for k in range(7)]


def decisions_of(rows):
    return b.table(DECISIONS, [r for r in rows if "items" in r]).select(list(DECISION_COLUMNS))


def in_order(table):
    return table.sort_by("decision_id").to_pylist()


def values_of(row):
    return np.frombuffer(row["features"], VALUE)


@pytest.fixture
def lake(spark):
    made = Lake(spark)
    made.tables[ITEMS] += ITEM_ROWS
    return made


def test_carried_state_gives_what_one_replay_gives(lake):
    rows = history(0, 12)
    lake.add(rows)
    at_once = in_order(Carried(DEFINITIONS, lake.silver()).rows(decisions_of(rows)))
    assert {values_of(r).size for r in at_once} == {4 * len(DEFINITIONS.names)}
    assert {words for r in at_once for words in values_of(r)[5::6].tolist()} == {2.0}, "titles are read"
    assert at_once[-1]["positions"] == [1, 2, 3, 4]
    in_parts = Carried(DEFINITIONS, lake.silver())
    parts = [in_parts.rows(decisions_of(rows[start : start + 6])) for start in range(0, 24, 6)]
    np.testing.assert_equal(in_order(pa.concat_tables(parts)), at_once)


def test_carried_state_reads_with_the_vectors_of_the_ranker_that_scores(lake):
    features = "  - {name: like, kind: vector_similarity, space: text, of: click, last: 4}\n"
    definitions = b.definitions_of(features)
    rows = history(0, 8)
    lake.add(rows)
    ours, others = b.some_vectors(), b.some_vectors(("i1", "i2", "i3"))
    carried = Carried(definitions, lake.silver())
    parts = [
        carried.rows(decisions_of(rows[:8]), ours).to_pylist(),
        carried.rows(decisions_of(rows[8:]), others).to_pylist(),
    ]
    for found, vectors, chosen in zip(parts, (ours, others), (slice(0, 4), slice(4, 8)), strict=True):
        expected = b.a_replay(definitions, ITEM_ROWS, vectors).advance(b.a_history(rows, definitions))
        values = np.split(expected.features.ravel(), expected.starts[1:-1])[chosen]
        for row, value in zip(sorted(found, key=lambda r: r["decided_at"]), values, strict=True):
            np.testing.assert_array_equal(values_of(row), value)
    assert not np.isnan(values_of(parts[0][-1])).all()


def test_a_restart_folds_what_was_scored_before_and_reads_the_new_only(lake):
    rows = history(0, 12)
    lake.add(rows)
    at_once = in_order(Carried(DEFINITIONS, lake.silver()).rows(decisions_of(rows)))
    late = decisions_of(rows[20:])
    again = in_order(Carried(DEFINITIONS, lake.silver()).rows(late))
    assert [r["decision_id"] for r in again] == ["d10", "d11"]
    np.testing.assert_equal(again, [r for r in at_once if r["decision_id"] in ("d10", "d11")])


def test_a_decision_behind_what_was_folded_is_scored_all_the_same(lake):
    rows = history(0, 6)
    lake.add(rows)
    carried = Carried(DEFINITIONS, lake.silver())
    carried.rows(decisions_of(rows))
    repaired = b.a_decision(
        decision_id="repaired", user_id="ann", event_time=b.NOW, offset=1, items=["i1", "i2", "i1"]
    )
    lake.add([repaired])
    found = carried.rows(decisions_of([repaired])).to_pylist()
    assert [(r["decision_id"], r["items"], r["positions"]) for r in found] == [
        ("repaired", ["i1", "i2"], [1, 2])
    ]


def test_new_versions_of_items_are_learnt_while_the_stream_runs(lake):
    rows = history(0, 8)
    lake.add(rows)
    carried = Carried(DEFINITIONS, lake.silver())
    carried.rows(decisions_of(rows[:8]))
    since = b.NOW + 5 * MINUTE
    lake.tables[ITEMS].append(an_item("i0", offset=7, since=since, price=99.0))
    found = {r["decision_id"]: r for r in carried.rows(decisions_of(rows[8:])).to_pylist()}
    seventh = found["d7"]
    price = values_of(seventh)[:: len(DEFINITIONS.names)][seventh["items"].index("i0")]
    assert price == 99.0


# The job, on Delta and MLflow.


@pytest.fixture
def house(tmp_path, mlflow_server):
    overrides = {"paths": {"state": str(tmp_path)}, "mlflow": {"tracking_uri": mlflow_server.uri}}
    return settings_module.load(environ={}, overrides=overrides)


def store(spark, house, rows, offset=0):
    for contract, kind in ((EVENTS, "event_id"), (DECISIONS, "items")):
        chosen = [r for r in rows if kind in r]
        delta.append(spark.createDataFrame(on_its_day(contract, chosen), contract.schema), contract, house)
    vectors = np.random.default_rng(offset).gamma(2.0, 5.0, (5, len(NAMES)))
    vectors[0] = 1e6  # nobody was like this
    rows = pa.table(
        {
            "entity": ["user"] * 4 + ["device"],
            "entity_id": [f"u{offset + i}" for i in range(5)],
            "window_minutes": pa.array([5] * 5, pa.int32()),
            "window_start": pa.array([datetime.datetime(2023, 12, 9, tzinfo=datetime.UTC)] * 5),
            "day": pa.array([datetime.date(2023, 12, 9)] * 5),
            "vector": list(vectors),
            "links": pa.array([[("device", "d")]] * 5, pa.map_(pa.string(), pa.string())),
            "exposure": [2.0] * 5,
            "revision": pa.array([1] * 5),
        }
    )
    delta.append(spark.createDataFrame(rows), BEHAVIOUR_VECTORS, house)


def register(registry, folder, domain, seed):
    """A ranker and an outlier model, both promoted."""
    examples, validation = (
        some_examples(60, seed=s, width=len(DEFINITIONS.names)) for s in (seed, seed + 50)
    )
    booster = ranker.train(examples, validation, DEFINITIONS.names, some_training(rounds=3)).booster
    package.save_ranker(
        folder / "ranker", booster, DEFINITIONS.to_json(), DEFINITIONS.hash, examples.features
    )
    vectors, later = np.random.default_rng(seed).gamma(2.0, 5.0, (2, 400, len(NAMES)))
    models = {"user/5": OutlierModel.fit(vectors, names=NAMES, seed=seed)}
    outliers = calibrated(models, {"user/5": later}, Rule())
    package.save_outliers(folder / "outliers", outliers, {"user/5": vectors})
    for kind, rows, names in (("ranker", examples.features, DEFINITIONS.names), ("outliers", vectors, NAMES)):
        example = pd.DataFrame(rows[:2], columns=list(names))
        name = f"{domain.name}-{kind}"
        version = registry.register(
            Training(name, domain.name, folder / kind, example, {}, {}, {}, "unknown", 0)
        )
        registry.promote(name, version)


def run_once(house, spark, domain):
    for job in (score_stream, watch_outliers):
        (query,) = job.run(house, spark, argparse.Namespace(domain=domain, once=True))
        assert query.awaitTermination(240)
        assert query.exception() is None
        checkpoints.disown(house, job.__name__.removeprefix("jobs."))


def versions(spark, house, table):
    rows = delta.read(spark, house, table).groupBy("model_version").count().collect()
    return {row["model_version"]: row["count"] for row in rows}


def test_the_stream_waits_for_champions_takes_new_ones_and_outlives_mlflow(spark, house, tmp_path, caplog):
    domain = a_shop("streamshop")
    registry = Registry(house.tracking_uri)
    delta.append(spark.createDataFrame(b.table(ITEMS, ITEM_ROWS), ITEMS.schema), ITEMS, house)
    store(spark, house, history(0, 4))

    with caplog.at_level(logging.INFO, "lakepulse"):
        run_once(house, spark, domain)
    for model in ("ranker", "outliers"):
        assert f"nothing is scored before there is a champion of streamshop-{model}" in caplog.text
    assert delta.read(spark, house, SCORES).isEmpty()

    register(registry, tmp_path / "first", domain, seed=1)
    run_once(house, spark, domain)
    assert versions(spark, house, SCORES) == {"1": 16}, "what came before the champions was kept for them"
    assert versions(spark, house, OUTLIERS) == {"1": 5}

    register(registry, tmp_path / "second", domain, seed=2)
    store(spark, house, history(4, 6), offset=5)
    run_once(house, spark, domain)
    assert versions(spark, house, SCORES) == {"1": 16, "2": 8}
    assert versions(spark, house, OUTLIERS) == {"1": 5, "2": 5}

    away = dataclasses.replace(
        house, mlflow=dataclasses.replace(house.mlflow, tracking_uri="http://127.0.0.1:9")
    )
    store(spark, house, history(6, 8), offset=10)
    run_once(away, spark, domain)
    assert "streamshop-ranker stays at version 2" in caplog.text
    assert "streamshop-outliers stays at version 2" in caplog.text
    assert versions(spark, house, SCORES) == {"1": 16, "2": 16}
    assert versions(spark, house, OUTLIERS) == {"1": 5, "2": 10}
    rows = {row["entity_id"]: row for row in delta.read(spark, house, OUTLIERS).toArrow().to_pylist()}
    assert [rows[f"u{n}"]["is_found"] for n in range(5)] == [True, False, False, False, None]
    assert rows["u0"]["is_tail"]
    assert rows["u0"]["p_value"] < 1 / 401 < rows["u1"]["p_value"]
    assert {len(rows[f"u{n}"]["reasons"]) for n in range(4)} == {3}
    assert (rows["u4"]["score"], rows["u4"]["p_value"], rows["u4"]["reasons"]) == (None, None, None)
    assert rows["u0"]["window_end"] - rows["u0"]["window_start"] == datetime.timedelta(minutes=5)
    assert dict(rows["u0"]["links"]) == {"device": "d"}
    batches = delta.read(spark, house, OUTLIER_BATCHES).orderBy("number").toArrow().to_pylist()
    assert [(b["vectors"], b["tests"], b["model_version"]) for b in batches] == [
        (5, 4, "1"),
        (5, 4, "2"),
        (5, 4, "2"),
    ]
    assert 0 < batches[0]["level"] <= house.outliers.false_share


def a_shop(name):
    """The corner shop under a name of its own, so that its models are its own."""
    return parse_domain(b.SHOP.replace("corner shop", name) + FEATURES, "shop.yml")
