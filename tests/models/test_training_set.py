"""Training rows: labels from outcomes, features from before them."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.contracts.gold import TRAINING_ROWS
from pipelines.contracts.silver import ITEMS
from pipelines.errors import TrainingError
from pipelines.features.definitions import OUTCOME_RATE, POPULARITY
from pipelines.models.training_set import rankings, rows_of, training_rows
from tests.builders_features import (
    MINUTE,
    NOW,
    a_decision,
    a_history,
    a_replay,
    an_event,
    an_item,
    definitions_of,
    outcomes_of,
    silver,
    table,
)

DEFINITIONS = definitions_of(
    "  - {name: clicks, kind: count, of: click, by: item}\n"
    "  - {name: position, kind: position, fixed: 2}\n"
    "  - {name: price, kind: attribute, of: price}\n"
)
ITEMS_TABLE = table(ITEMS, [an_item("i1", price=4.0)])
FIRST = a_decision(decision_id="d1", event_time=NOW)
CLICK = an_event(event_time=NOW + 5, decision_id="d1", item_id="i2")
SECOND = a_decision(decision_id="d2", event_time=NOW + MINUTE, items=["i3", "i2", "i3"], user_id="bob")
OUTCOMES = outcomes_of([FIRST, SECOND], {("d1", "i2"): 1.0, ("d2", "i3"): 2.0})


def made(rows, outcomes=OUTCOMES):
    events, decisions = silver(rows)
    return training_rows("corner shop", DEFINITIONS, events, decisions, ITEMS_TABLE, outcomes)


def columns(rows: pa.Table, *names: str):
    return list(zip(*(rows[name].to_pylist() for name in names), strict=True))


def test_rows_have_the_contracts_columns_and_the_values_of_the_moment():
    rows = made([FIRST, CLICK, SECOND])
    assert rows.column_names == TRAINING_ROWS.schema.fieldNames()
    assert columns(rows, "decision_id", "item_id", "position", "label", "earlier_events") == [
        ("d1", "i1", 1, 0.0, 0),
        ("d1", "i2", 2, 1.0, 0),
        ("d1", "i3", 3, 0.0, 0),
        ("d2", "i3", 1, 2.0, 0),
        ("d2", "i2", 2, 0.0, 0),
    ]
    features = np.array(rows["features"].to_pylist())
    np.testing.assert_array_equal(
        features[:, 0], [0, 0, 0, 0, 1], "the click counts for what is shown after it"
    )
    np.testing.assert_array_equal(features[:, 1], [1, 2, 3, 1, 2])
    np.testing.assert_array_equal(features[:, 2], [4, *[np.nan] * 4])
    assert rows[POPULARITY].to_pylist() == [0, 0, 0, 0, 1]
    np.testing.assert_allclose(
        rows[OUTCOME_RATE].to_numpy()[3:], [(10 / 3) / 11, (1 + 10 / 3) / 11], rtol=1e-6
    )
    assert set(rows["definitions_hash"].to_pylist()) == {DEFINITIONS.hash}


def test_a_row_does_not_change_by_what_happens_later():
    early, later = made([FIRST]), made([FIRST, CLICK, SECOND, an_event(event_time=NOW + 6)])
    assert str(early.to_pylist()) == str(later.slice(0, 3).to_pylist()), "as text, where NaN equals NaN"


def test_propensities_stay_with_their_items_and_are_null_where_a_decision_gives_none():
    rows = made([FIRST, SECOND | {"propensity": [0.5, 0.25, 0.125]}])
    assert columns(rows, "item_id", "propensity") == [
        ("i1", None),
        ("i2", None),
        ("i3", None),
        ("i3", 0.5),
        ("i2", 0.25),
    ]
    known = rankings(rows, DEFINITIONS)
    np.testing.assert_array_equal(known.propensity, [np.nan] * 3 + [0.5, 0.25])
    np.testing.assert_array_equal(known.where(np.array([False, True])).propensity, [0.5, 0.25])
    assert rankings(made([FIRST, SECOND]), DEFINITIONS).propensity is None


def test_decisions_whose_outcomes_are_not_published_are_left_out():
    rows = made([FIRST, SECOND], outcomes_of([SECOND], {}))
    assert set(rows["decision_id"].to_pylist()) == {"d2"}
    assert made([FIRST], outcomes_of([], {})).num_rows == 0


def test_decisions_made_before_what_was_folded_earlier_are_left_out():
    replay = a_replay(DEFINITIONS)
    replay.advance(a_history([CLICK], DEFINITIONS))
    probes = replay.advance(a_history([FIRST, SECOND], DEFINITIONS))
    _, decisions = silver([FIRST, SECOND])
    rows = rows_of("corner shop", DEFINITIONS, probes, decisions, OUTCOMES)
    assert set(rows["decision_id"].to_pylist()) == {"d2"}


def test_rankings_are_decisions_by_time_in_shown_order():
    rows = made([FIRST, CLICK, SECOND])
    mixed = rows.take(pa.array([4, 2, 0, 3, 1]))
    found = rankings(mixed, DEFINITIONS)
    assert found.decided_at.tolist() == [NOW, NOW + MINUTE]
    assert found.starts.tolist() == [0, 3, 5]
    assert found.labels.tolist() == [0, 1, 0, 2, 0]
    assert found.positions.tolist() == [1, 2, 3, 1, 2]
    np.testing.assert_array_equal(found.features, np.array(rows["features"].to_pylist(), np.float32))
    assert found.examples().sizes.tolist() == [3, 2]


def test_only_decisions_with_an_outcome_are_judged():
    rows = made([FIRST, CLICK, SECOND], outcomes_of([FIRST, SECOND], {("d2", "i2"): 1.0}))
    judged = rankings(rows, DEFINITIONS).judged()
    assert (judged.decided_at.tolist(), judged.labels.tolist()) == ([NOW + MINUTE], [0, 1])


def test_rows_of_other_definitions_are_refused():
    rows = made([FIRST, SECOND])
    other = definitions_of("  - {name: clicks, kind: count, of: click, by: item, log: true}\n")
    with pytest.raises(
        TrainingError, match=f"made by the feature definitions {DEFINITIONS.hash}.*{other.hash}"
    ):
        rankings(rows, other)
    with pytest.raises(TrainingError, match="run build_training_set first"):
        rankings(rows.slice(0, 0), DEFINITIONS)
