"""Audits: what the contract promises is checked on real tables, told in rows and pages, and ends in an exit
code."""

import argparse
import datetime

import deltalake
import pytest

from jobs import audit_quality
from pipelines.contracts import gold, ops, silver
from pipelines.io import audited, delta
from pipelines.monitoring.audits import ACCOUNTS, COLUMNS, SITE, expectations
from tests.builders_gold import an_event, rows_of

BY = pytest.mark.parametrize("reader", ["this process", "Spark"], indirect=True)
"""Small tables are audited in this process and, as if they were large, by Spark: they find the same."""


@pytest.fixture
def reader(request, monkeypatch):
    """Which of the two reads the tables."""
    if request.param == "Spark":
        monkeypatch.setattr(audited, "MOST", -1)


def arrive(spark, settings, table, *rows):
    delta.ensure(spark, settings, table)
    delta.append_arrow(rows_of(table, rows), table, settings, mark="")


def audit(spark, settings, *tables):
    """Exit code, and what failed: (table, expectation, column, unexpected)."""
    code = audit_quality.run(settings, lambda: spark, argparse.Namespace(tables=[t.name for t in tables]))
    rows = delta.read(spark, settings, ops.AUDITS).collect()
    assert rows
    return code, {(r.table, r.expectation, r.column, r.unexpected) for r in rows if not r.success}


def an_outcome(**given):
    row = {
        "decision_id": "d",
        "item_id": "hat",
        "position": 1,
        "user_id": "ann",
        "label": 0.0,
        "outcomes": {},
    }
    time = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
    return row | {"decided_at": time, "day": time.date(), "revision": 1} | given


def test_every_contract_gives_a_suite_that_knows_its_key():
    for table in (silver.EVENTS, gold.SESSIONS):
        kinds = {type(e).__name__ for e in expectations(table)}
        unique = "ExpectColumnValuesToBeUnique" if len(table.key) == 1 else "ExpectCompoundColumnsToBeUnique"
        assert {unique, "ExpectColumnValuesToNotBeNull", "ExpectColumnValuesToBeBetween"} <= kinds


@BY
def test_a_sound_table_passes_and_a_corrected_row_counts_once(spark, settings, reader):
    arrive(spark, settings, gold.DECISION_OUTCOMES, an_outcome(), an_outcome(revision=2, label=1.0))
    code, failed = audit(spark, settings, gold.DECISION_OUTCOMES)
    assert (code, failed) == (0, set())
    assert (settings.state / "audits" / SITE).is_file()


@pytest.mark.parametrize(
    ("rows", "failure"),
    [
        ([an_outcome(user_id=None)], ("expect_column_values_to_not_be_null", "user_id", 1)),
        ([an_outcome(position=0)], ("expect_column_values_to_be_between", "position", 1)),
        (
            [an_outcome(), an_outcome(item_id="cap", label=-1.0)],
            ("expect_column_values_to_be_between", "label", 1),
        ),
    ],
)
def test_what_breaks_the_contract_is_a_row_and_an_exit_code(spark, settings, rows, failure, capsys):
    arrive(spark, settings, gold.DECISION_OUTCOMES, *rows)
    code, failed = audit(spark, settings, gold.DECISION_OUTCOMES)
    assert (code, failed) == (1, {("gold.decision_outcomes", *failure)})
    assert failure[1] in capsys.readouterr().out


@BY
def test_a_key_that_is_there_twice_and_a_row_that_bronze_never_had_are_found(spark, settings, reader):
    arrive(
        spark,
        settings,
        silver.EVENTS,
        an_event(0, event_id="a", offset=0),
        an_event(1, event_id="a", offset=1),
    )
    code, failed = audit(spark, settings, silver.EVENTS)
    assert code == 1
    assert {(table, kind) for table, kind, _, _ in failed} == {
        ("silver.events", "expect_column_values_to_be_unique"),
        (ACCOUNTS, "expect_column_pair_values_to_be_equal"),
    }


def test_a_column_that_is_missing_or_of_another_type_is_found(spark, settings):
    table = gold.DECISION_OUTCOMES
    rows = rows_of(table, [an_outcome()])
    other = rows.drop_columns(["day", "outcomes"]).set_column(
        rows.schema.get_field_index("position"), "position", rows["position"].cast("int64")
    )
    deltalake.write_deltalake(delta.path(settings, table), other)
    code, failed = audit(spark, settings, table)
    assert code == 1
    assert (COLUMNS, "expect_column_pair_values_to_be_equal", "promised, stored", 3) in failed
    observed = [r.observed for r in delta.read(spark, settings, ops.AUDITS).collect() if r.table == COLUMNS]
    assert "gold.decision_outcomes.day DateType" in observed[0]


@BY
def test_a_number_that_is_none_is_outside_every_range(spark, settings, reader):
    at = an_outcome()["decided_at"]
    about = {"entity": "user", "entity_id": "ann", "window_start": at, "day": at.date(), "revision": 1}
    about |= {"window_minutes": 5, "window_end": at, "exposure": 1.0}
    said = {"score": 0.5, "vector": [1.0], "model_name": "m", "model_version": "1", "scored_at": at}
    arrive(spark, settings, gold.OUTLIERS, about | said | {"rank": float("nan")})
    code, failed = audit(spark, settings, gold.OUTLIERS)
    assert (code, failed) == (1, {("gold.outliers", "expect_column_values_to_be_between", "rank", 1)})


def test_both_ways_of_accounting_agree(spark, settings, monkeypatch):
    placed = [an_event(i, event_id=f"e{i}", offset=i) for i in range(5)]
    arrive(spark, settings, silver.EVENTS, *placed)
    here = audited.accounts(settings, pytest.fail)
    monkeypatch.setattr(audited.parts, "is_here", lambda *_: False)
    there = audited.accounts(settings, lambda: spark).toPandas()
    assert here.to_dict("records") == there.to_dict("records")
    assert here["sorted"].sum() == 5
    assert here["landed"].sum() == 0
