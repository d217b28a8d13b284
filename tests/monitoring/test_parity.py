"""What a decision was made by is compared with what training replays of it, bit for bit."""

import argparse
import dataclasses
import datetime
import json
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from jobs import check_parity
from pipelines.cli._file_rows import silver_of_arrivals
from pipelines.contracts import bronze, gold
from pipelines.contracts.decision_features import as_bytes, pack, unpack
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.contracts.types import arrow_schema
from pipelines.errors import SettingsError
from pipelines.features.carriers import Request
from pipelines.features.kept import KeptCarrier
from pipelines.io import compared as compared_io
from pipelines.io import delta, lake, parts
from pipelines.io.checkpoints import local_path
from pipelines.models.training_set import training_rows
from pipelines.monitoring.own import own_features
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


LIMITS = dataclasses.replace(stage.SETTINGS.parity, fewest=7)
ABOUT = {"compared_at": AT, "domain": "shop", "since": AT, "until": AT}


def compared(logged, rows, **limits):
    limits = dataclasses.replace(LIMITS, **limits)
    found = parity([unpack(one) for one in logged], rows, stage.definitions(), limits, ABOUT)
    return {row["feature"]: row for row in found}


def test_what_was_logged_is_what_training_replays(both):
    found = compared(*both)
    assert list(found) == list(stage.definitions().names)
    assert {name: row["share"] for name, row in found.items() if row["share"] < 1} == {}
    assert {(row["decisions"], row["values"]) for row in found.values()} == {(7, 7 * SHOWN)}
    assert not any(row["is_fault"] for row in found.values())
    assert told(list(found.values()))[1:] == ["every feature has the same bits in the log and in the replay"]


def changed(message, feature, by=1.0, places=(0,), **more):
    """The message with other values of a feature for some of its items."""
    one = unpack(message)
    matrix = one.matrix().copy()
    matrix[list(places), stage.definitions().names.index(feature)] += np.float32(by)
    return pack(msgspec.structs.replace(one, features=as_bytes(matrix), **more))


def test_a_feature_that_differs_is_named_with_its_share_and_its_worst_value(both):
    logged, rows = both
    broken = [changed(changed(logged[0], "user_clicks_1h"), "user_clicks_1h", 3, (4,)), *logged[1:]]
    found = compared(broken, rows)
    assert {name for name, row in found.items() if row["share"] < 1} == {"user_clicks_1h"}
    differing, item = found["user_clicks_1h"], unpack(logged[0]).items[4]
    column = stage.definitions().names.index("user_clicks_1h")
    before = float(unpack(logged[0]).matrix()[4, column])
    assert differing["equal"] == 7 * SHOWN - 2
    assert (differing["decision_id"], differing["item_id"], differing["largest"]) == ("d0", item, 3.0)
    assert (differing["logged"], differing["replayed"]) == (before + 3, before)
    assert told(list(found.values()))[1:] == [
        f"user_clicks_1h: 98.10% of the values are equal; most in decision d0, item {item}: "
        f"logged {before + 3:g}, replayed {before:g}"
    ]


def test_a_value_that_one_side_lacks_differs_most(both):
    logged, rows = both
    lacking = changed(changed(logged[2], "price", 9.0, (1,)), "price", np.nan, (3,))
    row = compared([*logged[:2], lacking, *logged[3:]], rows)["price"]
    assert (row["equal"], row["largest"], row["item_id"]) == (
        7 * SHOWN - 2,
        None,
        unpack(logged[2]).items[3],
    )
    assert np.isnan(row["logged"])


def test_too_few_equal_values_of_the_user_s_own_are_a_fault_with_what_to_do_next(both):
    logged, rows = both
    features = ("user_clicks_30d", "clicks_30d")
    broken = [
        changed(changed(one, features[0], 2, range(SHOWN)), features[1], 1, range(SHOWN))
        for one in logged[:1]
    ]
    found = compared([*broken, *logged[1:]], rows)
    assert {name for name, row in found.items() if row["is_fault"]} == {"user_clicks_30d"}
    summary, fault, shared, *remedy = told(list(found.values()))
    assert summary == "7 decisions, 105 items"
    assert fault.startswith("FAULT user_clicks_30d: 85.71% of the values are equal; most in decision d0")
    assert shared.startswith("clicks_30d: 85.71%")
    assert remedy[0] == "served otherwise than trained: user_clicks_30d. What to do next:"
    assert any("lakepulse explain d0 " in line for line in remedy)
    assert any("rebuild_store --domain shop " in line for line in remedy)


def test_limits_are_settings(both):
    logged, rows = both
    broken = [changed(logged[0], "clicks_30d", 1, range(SHOWN)), *logged[1:]]
    assert not compared(broken, rows)["clicks_30d"]["is_fault"]
    assert compared(broken, rows, shared_share=0.9)["clicks_30d"]["is_fault"]
    assert not compared(broken, rows, shared_share=0.9, fewest=8)["clicks_30d"]["is_fault"]


def test_own_are_features_of_the_user_the_request_and_the_catalog():
    definitions = stage.definitions()
    own = dict(zip(definitions.names, own_features(definitions), strict=True))
    for name in ("price", "user_clicks_1h", "since_click", "seen_before", "tag_similarity_mean", "hour_sin"):
        assert own[name], name
    for name in ("clicks_1h", "user_click_rate", "tag_preference_mean", "answer_bm25", "text_likeness_mean"):
        assert not own[name], name
    assert own["price_in_list_rank"]
    assert not own["click_rate_in_list_rank"]


def test_only_what_was_logged_and_replayed_under_the_same_definitions_is_compared(both):
    logged, rows = both
    others = [changed(one, "user_clicks_1h", definitions_hash="other") for one in logged[1:]]
    unknown = changed(logged[0], "user_clicks_1h", decision_id="not replayed")
    assert {row["decisions"] for row in compared([logged[0], unknown, *others], rows).values()} == {1}
    assert compared(others, rows) == {}
    assert told([]) == ["no decision was both logged with its features and replayed under these definitions"]


DAY = datetime.timedelta(days=1)


def decided_at(days_ago=0):
    return datetime.datetime.fromtimestamp(stage.now_ms() / 1000, datetime.UTC) - DAY * days_ago


def land(messages, settings, days_ago=0, **renamed):
    """Append what the service logged so many days ago to the lake."""
    landed = [pack(msgspec.structs.replace(unpack(one), **renamed)) for one in messages]
    at = decided_at(days_ago)
    rows = [
        {
            "topic": "decision_features",
            "partition": 0,
            "offset": n,
            "key": unpack(value).decision_id.encode(),
            "value": value,
            "timestamp": at,
            "ingested_at": at,
            "ingest_date": at.date(),
        }
        for n, value in enumerate(landed)
    ]
    table = pa.Table.from_pylist(rows, arrow_schema(bronze.DECISION_FEATURES.schema))
    parts.append(table, settings, bronze.DECISION_FEATURES, None)


def train(rows, settings):
    parts.replace_part(rows, settings, gold.TRAINING_ROWS, ("domain", "shop"), None)


def older(rows, days, decision_id):
    """The rows of one decision as if it had been made earlier, under another id."""
    of_one = rows.filter(pa.compute.equal(rows["decision_id"], "d0"))
    n = of_one.num_rows
    moved = pa.compute.subtract(of_one["as_of"], pa.scalar(DAY * days, pa.duration("us")))
    changed = of_one.set_column(
        of_one.schema.get_field_index("as_of"), "as_of", moved.cast(of_one["as_of"].type)
    )
    return changed.set_column(
        of_one.schema.get_field_index("decision_id"), "decision_id", pa.array([decision_id] * n)
    )


def check(settings, *, fewest=7, **options):
    options = {"since": None, "until": None, "most": None, **options}
    settings = dataclasses.replace(settings, parity=dataclasses.replace(settings.parity, fewest=fewest))
    return check_parity.run(settings, None, argparse.Namespace(domain=stage.shop(), **options))


def kept(settings):
    return lake.query(settings, "SELECT * FROM ops.parity")


def test_the_job_keeps_the_figures_and_fails_for_a_fault(both, settings, capsys):
    logged, rows = both
    broken = [changed(logged[0], "user_clicks_30d", 2, range(SHOWN)), *logged[1:]]
    land(broken, settings)
    train(rows, settings)
    assert check(settings) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"7 decisions, {7 * SHOWN} items"
    assert said[1].startswith("FAULT user_clicks_30d: 85.71% of the values are equal; most in decision d0")
    assert said[2] == "served otherwise than trained: user_clicks_30d. What to do next:"
    found = kept(settings)
    assert found["feature"].tolist() == list(stage.definitions().names)
    assert found.loc[found["is_fault"], "feature"].tolist() == ["user_clicks_30d"]
    assert found.loc[found["is_fault"], "decision_id"].tolist() == ["d0"]
    assert {moment.to_pydatetime() for moment in found["until"]} == {decided_at()}


def test_what_was_compared_is_not_compared_again(both, settings, capsys):
    logged, rows = both
    assert check(settings) == 0
    assert capsys.readouterr().out.startswith("nothing was replayed since the last check")
    land(logged, settings)
    train(rows, settings)
    assert [check(settings), check(settings)] == [0, 0]
    assert capsys.readouterr().out.splitlines()[-1].startswith("nothing was replayed since the last check")
    assert len(kept(settings)) == len(stage.definitions().names)
    assert check(settings, since=decided_at() - DAY) == 0
    assert len(kept(settings)) == 2 * len(stage.definitions().names)


def test_the_next_check_begins_where_the_last_one_ended(both, settings, capsys):
    logged, rows = both
    early = pa.concat_tables([older(rows, 0.5, "early"), older(rows, 3, "long ago")])
    land(logged[:1], settings, days_ago=0.5, decision_id="early")
    land(logged[:1], settings, days_ago=3, decision_id="long ago")
    train(early, settings)
    assert check(settings) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"1 decisions, {SHOWN} items", "24 hours, no more"
    land(logged, settings)
    train(pa.concat_tables([early, rows]), settings)
    assert check(settings) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"7 decisions, {7 * SHOWN} items"
    assert check(settings, since=decided_at() - 4 * DAY) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"9 decisions, {9 * SHOWN} items"
    assert check(settings, until=decided_at() - DAY, since=decided_at() - 4 * DAY) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"1 decisions, {SHOWN} items"


def test_of_many_decisions_a_share_is_compared_always_the_same(both, settings, capsys):
    logged, rows = both
    land(logged, settings)
    train(rows, settings)
    since = decided_at() - DAY
    for _ in range(2):
        assert check(settings, since=since, most=3) == 0
        assert capsys.readouterr().out.splitlines()[0] == f"3 decisions, {3 * SHOWN} items"
    stretch = compared_io.Stretch(since, decided_at(), 3)
    chosen = [{one.decision_id for one in compared_io.logged(settings, None, stretch)} for _ in range(2)]
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 3


def make_unreadable(settings, table, kept_days):
    """Empty each file of the table that is not of these days; how many were emptied."""
    folder = Path(local_path(delta.path(settings, table)))
    files = [f for f in folder.rglob("*.parquet") if not any(f"={day}" in str(f) for day in kept_days)]
    for file in files:
        file.write_bytes(b"")
    return len(files)


def test_files_of_other_days_are_not_opened(both, settings, capsys):
    logged, rows = both
    for days in (2, 5, 40):
        land(logged, settings, days_ago=days, decision_id=f"old {days}")
    land(logged, settings)
    train(rows, settings)
    assert make_unreadable(settings, bronze.DECISION_FEATURES, {decided_at().date()}) == 3
    assert check(settings) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"7 decisions, {7 * SHOWN} items"
    with pytest.raises(OSError, match="0 bytes long"):
        check(settings, since=decided_at() - 3 * DAY)


def test_files_of_other_hours_and_domains_of_the_training_rows_are_not_opened(both, settings, capsys):
    logged, rows = both
    land(logged, settings)
    train(rows, settings)
    before = set(local_path(delta.path(settings, gold.TRAINING_ROWS)).rglob("*.parquet"))
    parts.append(older(rows, 9, "old"), settings, gold.TRAINING_ROWS, None)
    foreign = rows.set_column(0, "domain", pa.array(["other"] * rows.num_rows))
    parts.replace_part(foreign, settings, gold.TRAINING_ROWS, ("domain", "other"), None)
    files = set(local_path(delta.path(settings, gold.TRAINING_ROWS)).rglob("*.parquet")) - before
    assert len(files) == 2
    for file in files:
        file.write_bytes(b"")
    assert check(settings) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"7 decisions, {7 * SHOWN} items"


def test_spark_reads_the_same_where_the_lake_is_not_local(both, settings, spark, monkeypatch):
    logged, rows = both
    land(logged, settings)
    land(logged, settings, days_ago=5, decision_id="old")
    train(rows, settings)
    stretch = compared_io.Stretch(decided_at() - DAY, decided_at(), 4)

    def read():
        decisions = compared_io.logged(settings, lambda: spark, stretch)
        found = compared_io.replayed(settings, lambda: spark, stretch, "shop", decisions)
        until = parts.newest(settings, gold.TRAINING_ROWS, "as_of", ("domain", "shop"), lambda: spark)
        pairs = zip(found["decision_id"].to_pylist(), found["item_id"].to_pylist(), strict=True)
        return {one.decision_id for one in decisions}, set(pairs), until

    here = read()
    monkeypatch.setattr(parts, "is_here", lambda *_: False)
    assert read() == here
    assert len(here[1]) == 4 * SHOWN


def test_a_stretch_that_ends_before_it_begins_is_refused(settings):
    with pytest.raises(SettingsError, match="leave nothing to compare"):
        check(settings, since=AT, until=AT - DAY)
    parser = argparse.ArgumentParser()
    compared_io.arguments(parser)
    read = parser.parse_args(["--since", "2026-03-01", "--until", "2026-03-01T02:00+02:00"])
    assert read.since == read.until == AT
