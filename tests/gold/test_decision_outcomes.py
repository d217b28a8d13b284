"""Outcomes of decisions: which event counts, for which item, and until when."""

import datetime

from pipelines.gold.decision_outcomes import decision_outcomes
from tests.builders_gold import a_decision, a_shop, an_event, at, decisions, events


def found(spark, lists, rows):
    frame = decision_outcomes(decisions(spark, *lists), events(spark, *rows), a_shop(), revision=2)
    return {(r["decision_id"], r["item_id"]): r for r in frame.toArrow().to_pylist()}


def test_every_item_of_a_list_has_a_row_with_its_position(spark):
    rows = found(spark, [a_decision(0, ["hat", "shoe", "hat", "belt"], decision_id="d", user_id="bob")], [])
    assert {item: r["position"] for (_, item), r in rows.items()} == {"hat": 1, "shoe": 2, "belt": 4}
    assert all(
        (r["label"], dict(r["outcomes"]), r["first_outcome_at"]) == (0, {}, None) for r in rows.values()
    )
    hat = rows["d", "hat"]
    assert (hat["user_id"], hat["decided_at"], hat["day"], hat["revision"]) == (
        "bob",
        at(0),
        datetime.date(2026, 3, 1),
        2,
    )


def test_the_label_is_the_gain_of_the_best_outcome_and_all_are_counted(spark):
    named = {"decision_id": "d", "item_id": "hat"}
    rows = found(
        spark,
        [a_decision(0, ["hat", "shoe"], decision_id="d")],
        [
            an_event(3, "click", **named),
            an_event(2, "cart", **named),
            an_event(1, "click", **named),
            an_event(1, "view", **named),
        ],
    )
    assert (rows["d", "hat"]["label"], dict(rows["d", "hat"]["outcomes"])) == (2, {"click": 2, "cart": 1})
    assert rows["d", "hat"]["first_outcome_at"] == at(1)
    assert rows["d", "shoe"]["label"] == 0


def test_an_outcome_counts_from_the_decision_to_the_end_of_the_window(spark):
    minutes = {"early": -1 / 60, "at_once": 0, "last": 30, "too_late": 30 + 1 / 60}
    lists = [a_decision(0, ["hat"], decision_id=name) for name in minutes]
    rows = found(
        spark, lists, [an_event(m, "click", decision_id=n, item_id="hat") for n, m in minutes.items()]
    )
    assert {name: r["label"] for (name, _), r in rows.items()} == {
        "early": 0,
        "at_once": 1,
        "last": 1,
        "too_late": 0,
    }


def test_an_event_counts_for_the_decision_and_the_item_it_names_only(spark):
    rows = found(
        spark,
        [a_decision(0, ["hat", "shoe"], decision_id="d"), a_decision(0, ["hat"], decision_id="e")],
        [
            an_event(1, "click", decision_id="d", item_id="shoe"),
            an_event(1, "click", decision_id="d", item_id="glove"),
            an_event(1, "click", item_id="hat"),
            an_event(1, "click", decision_id="nobody's", item_id="hat"),
        ],
    )
    assert {key: r["label"] for key, r in rows.items()} == {
        ("d", "hat"): 0,
        ("d", "shoe"): 1,
        ("e", "hat"): 0,
    }
