"""One event's whole way: Kafka, bronze, silver, gold, training rows, a promoted ranker, scores and
outliers."""

import json
import re
from collections import Counter

from pipelines.contracts import TABLES
from pipelines.io import kafka_admin, lake
from pipelines.models.registry import Registry
from pipelines.stack import progress, summary

LANDED = ("bronze.interactions", "bronze.catalog")
SORTED = ("silver.events", "silver.decisions", "silver.items", "silver.quarantine")


def one(walked, sql):
    return lake.query(walked.settings, sql).iloc[0].to_dict()


def test_bronze_holds_every_message_once(walked):
    step = progress.landed(walked.settings)
    assert step.done == step.due == len(walked.sent)
    for topic in ("interactions", "catalog"):
        ends = kafka_admin.end_offsets(walked.settings, topic)
        rows = lake.query(
            walked.settings,
            f'SELECT partition, count(DISTINCT "offset") AS n, max("offset") + 1 AS last '
            f"FROM bronze.{topic} GROUP BY 1",
        )
        assert dict(zip(rows["partition"], rows["n"], strict=True)) == {p: n for p, n in ends.items() if n}
        assert (rows["n"] == rows["last"]).all()
    values = lake.query(walked.settings, " UNION ALL ".join(f"SELECT value FROM {table}" for table in LANDED))
    assert Counter(bytes(v) for v in values["value"]) == Counter(walked.sent)


def per_partition(walked, tables):
    """Rows of the tables together, by topic and partition."""
    rows = " UNION ALL ".join(f"SELECT topic, partition FROM {table}" for table in tables)
    counted = f"SELECT topic, partition, count(*) AS n FROM ({rows}) GROUP BY ALL ORDER BY ALL"
    return lake.query(walked.settings, counted)


def test_good_and_quarantined_rows_are_all_that_was_landed_per_partition(walked):
    assert per_partition(walked, LANDED).equals(per_partition(walked, SORTED))


def test_every_malformed_record_is_quarantined_with_a_reason(walked):
    rows = lake.query(walked.settings, "SELECT reasons, value FROM silver.quarantine")
    assert len(rows) > 0
    assert all(len(reasons) > 0 and all(reasons) for reasons in rows["reasons"])
    assert any("duplicate" in reasons[0] for reasons in rows["reasons"])


def test_every_decision_has_its_outcomes_and_every_item_its_label(walked):
    shown = one(walked, "SELECT sum(len(items)) AS n FROM silver.decisions")["n"]
    rows = one(
        walked,
        "SELECT count(*) AS n, count(*) FILTER (label > 0) AS hits FROM gold.decision_outcomes",
    )
    assert rows["n"] == shown
    assert 0 < rows["hits"] < rows["n"]


def test_the_ranker_is_registered_promoted_and_better_than_the_order_shown(walked):
    registry = Registry(walked.settings.tracking_uri)
    champion = registry.current("shop-ranker")
    assert champion is not None
    figures = registry.figures(registry.version("shop-ranker", champion))
    shown = next(v for k, v in figures.items() if "shown" in k and "ndcg" in k)
    assert figures["ndcg_at_10"] > shown
    verdict = one(
        walked, "SELECT accepted, challenger FROM ops.gate_records WHERE model_name = 'shop-ranker'"
    )
    assert verdict == {"accepted": True, "challenger": champion}


def test_every_decision_is_scored_and_every_row_names_its_model(walked):
    scored = progress.scored(walked.settings)
    assert scored.done == scored.due
    champion = Registry(walked.settings.tracking_uri).current("shop-ranker")
    rows = lake.query(walked.settings, "SELECT DISTINCT model_name, model_version FROM gold.scores")
    assert rows.to_dict("records") == [{"model_name": "shop-ranker", "model_version": champion}]
    ranks = lake.query(
        walked.settings,
        "SELECT decision_id FROM gold.scores GROUP BY 1 "
        "HAVING min(rank) <> 1 OR max(rank) <> count(*) OR count(DISTINCT rank) <> count(*)",
    )
    assert ranks.empty


def test_the_summary_counts_quarantined_rows_by_reason_and_not_by_row(walked):
    found = lake.query(walked.settings, summary.REASONS)["reason"]
    assert sum(reason.startswith("duplicate of ") for reason in found) <= 2
    assert [reason for reason in found if re.search(r"\d", reason.replace("UTF-8", ""))] == []


def test_every_act_is_in_a_window_that_has_closed(walked):
    described = progress.described(walked.settings)
    assert described.done == described.due > 0


def test_every_behaviour_vector_is_judged_with_its_reasons(walked):
    watched = progress.watched(walked.settings)
    assert watched.done == watched.due > 0
    rows = lake.query(walked.settings, "SELECT * FROM gold.outliers WHERE score IS NOT NULL")
    assert rows["rank"].between(0, 1).all()
    assert rows["p_value"].between(0, 1).all()
    assert (rows["p_value"] > 0).all()
    assert set(rows["entity"] + "/" + rows["window_minutes"].astype(str)) >= {"user/5", "address/5"}
    assert all(len(names) > 0 for names in rows["top_features"])
    assert all(len(reasons) > 0 for reasons in rows["reasons"])


def test_the_summary_says_what_the_tables_hold(walked):
    found = summary.summarise(walked.settings, walked.domain)
    assert set(found["rows"]) == set(TABLES)
    assert sum(found["events_in"].values()) == len(walked.sent)
    assert found["rows"]["silver.decisions"] == lake.count(walked.settings, "silver.decisions") > 0
    assert found["models"]["ranker"]["alias"] == "champion"
    assert found["scores"][0]["rank"] == 1
    assert json.loads(json.dumps(found, default=str))["domain"] == "shop"
