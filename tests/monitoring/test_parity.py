"""What a decision was made by is compared with what training replays of it, bit for bit."""

import argparse
import datetime
import json
import logging

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from jobs import check_parity
from pipelines.cli._file_rows import silver_of_arrivals
from pipelines.contracts import bronze, gold, ops
from pipelines.contracts.decision_features import as_bytes, pack, unpack
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.contracts.types import arrow_schema
from pipelines.features.carriers import Request
from pipelines.features.kept import KeptCarrier
from pipelines.io import parts
from pipelines.models.training_set import training_rows
from pipelines.monitoring.parity import parity, told
from pipelines.serving.accepted import Accepted
from pipelines.serving.decisions import Decision, DecisionWriter, feature_message
from pipelines.serving.intake import decided
from pipelines.serving.ranking import Ranking
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records
from tests.serving import stage

AT = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
SHOWN = 15


def ranked(settings, folder):
    """Lists that were ranked from a store that had folded the shop's past, as the service logs them: their
    features, and their records."""
    model, carrier = stage.a_model(folder), KeptCarrier(stage.definitions(), stage.a_carrier().catalog)
    ranking = Ranking(carrier, frozenset(stage.item_ids()), model)
    users = stage.silver()[EVENTS.name]["user_id"].unique().to_pylist()
    logged, records = [], []
    with stage.a_store(settings) as store:
        stage.fold(store, stage.past(), next_offset=0)
        for number, user in enumerate([*users[:6], "nobody"]):
            items = stage.item_ids()[number : number + SHOWN]
            found = ranking.rank(Request(user, items, stage.now_ms(), "lamp"), store, Accepted(1))
            made = Decision(
                decision_id=f"d{number}",
                user_id=user,
                as_of=stage.now_ms(),
                items=found.items,
                scores=found.scores,
                features=found.features,
                model_name="shop-ranker",
                model_version="1",
                definitions_hash=stage.definitions().hash,
                query="lamp",
            )
            logged.append(feature_message(made))
            records.append(DecisionWriter(stage.shop()).record(made))
            shown = decided(user, made.decision_id, made.items, made.query, made.as_of)
            stage.fold(store, shown, next_offset=number + 1)  # the next list is ranked by what it has left
    return logged, records


def replayed(decisions):
    """gold.training_rows of the shop's past and these decisions after it."""
    chunks = list(records(ShopConfig(seed=3, users=80, items=60), 3_000))
    lines = [line for chunk in chunks for line in chunk.lines] + decisions
    arrivals = [arrival for chunk in chunks for arrival in chunk.arrivals]
    silver = silver_of_arrivals(
        lines, arrivals + [stage.now_ms()] * len(decisions), stage.shop(), stage.SETTINGS
    )
    shown = [(json.loads(one)["decision_id"], item) for one in decisions for item in json.loads(one)["items"]]
    outcomes = pa.table(
        {
            "decision_id": [decision for decision, _ in shown],
            "item_id": [item for _, item in shown],
            "label": pa.array([0.0] * len(shown), pa.float32()),
        }
    )
    tables = (silver[EVENTS.name], silver[DECISIONS.name], silver[ITEMS.name], outcomes)
    return training_rows("shop", stage.definitions(), *tables, stage.vectors())


@pytest.fixture(scope="module")
def both(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("parity")
    settings = stage.settings_module.load(environ={}, overrides={"paths": {"state": str(folder / "state")}})
    logged, decisions = ranked(settings, folder)
    return logged, replayed(decisions)


def compared(logged, rows):
    found = parity([unpack(one) for one in logged], rows, "shop", stage.definitions(), AT)
    return {row["feature"]: row for row in found}


def test_what_was_logged_is_what_training_replays(both):
    found = compared(*both)
    assert list(found) == list(stage.definitions().names)
    assert {name: row["share"] for name, row in found.items() if row["share"] < 1} == {}
    assert {(row["decisions"], row["values"]) for row in found.values()} == {(7, 7 * SHOWN)}
    assert told(list(found.values()))[1:] == ["every feature has the same bits in the log and in the replay"]


def changed(message, feature, **more):
    """The message with another value of a feature for its first item."""
    one = unpack(message)
    matrix = one.matrix().copy()
    matrix[0, stage.definitions().names.index(feature)] += np.float32(1)
    return pack(msgspec.structs.replace(one, features=as_bytes(matrix), **more))


def test_a_feature_that_differs_is_named_with_its_share(both):
    logged, rows = both
    found = compared([changed(logged[0], "user_clicks_1h"), *logged[1:]], rows)
    assert {name for name, row in found.items() if row["share"] < 1} == {"user_clicks_1h"}
    assert found["user_clicks_1h"]["equal"] == 7 * SHOWN - 1
    assert told(list(found.values()))[1] == "user_clicks_1h: 99.05% of the values are equal"


def test_only_what_was_logged_and_replayed_under_the_same_definitions_is_compared(both):
    logged, rows = both
    others = [changed(one, "user_clicks_1h", definitions_hash="other") for one in logged[1:]]
    unknown = changed(logged[0], "user_clicks_1h", decision_id="not replayed")
    assert {row["decisions"] for row in compared([logged[0], unknown, *others], rows).values()} == {1}
    assert compared(others, rows) == {}
    assert told([]) == ["no decision was both logged with its features and replayed under these definitions"]


def test_the_job_keeps_the_shares_and_warns_of_what_differs(both, settings, caplog, capsys):
    logged, rows = both
    broken = [changed(logged[0], "user_clicks_1h"), *logged[1:]]
    landed = [
        {
            "topic": "decision_features",
            "partition": 0,
            "offset": n,
            "value": v,
            "timestamp": AT,
            "ingested_at": AT,
        }
        for n, v in enumerate(broken)
    ]
    schema = arrow_schema(bronze.DECISION_FEATURES.schema)
    table = pa.Table.from_pylist([{**row, "ingest_date": AT.date()} for row in landed], schema)
    parts.append(table, settings, bronze.DECISION_FEATURES, None)
    parts.replace_part(rows, settings, gold.TRAINING_ROWS, ("domain", "shop"), None)
    with caplog.at_level(logging.WARNING, "lakepulse"):
        assert check_parity.run(settings, None, argparse.Namespace(domain=stage.shop())) == 0
    assert [record.message for record in caplog.records] == ["user_clicks_1h: 99.05% of the values are equal"]
    assert capsys.readouterr().out == f"7 decisions, {7 * SHOWN} items\n"
    kept = parts.valid_rows(settings, ops.PARITY, ("feature", "share"), None).to_pylist()
    assert {row["feature"]: row["share"] < 1 for row in kept}["user_clicks_1h"]
    assert sum(row["share"] < 1 for row in kept) == 1
    assert len(kept) == len(stage.definitions().names)
