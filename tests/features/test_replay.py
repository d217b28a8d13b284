"""The replay carrier: order of arrival, what a decision can know, and what is late."""

import numpy as np
import pyarrow as pa

from pipelines.contracts.silver import ITEMS
from pipelines.features.history import in_arrival_order
from pipelines.features.kernel import APPLIED
from pipelines.features.program import DECISION_CODE
from tests.builders_features import (
    HOUR,
    MINUTE,
    NOW,
    a_decision,
    a_history,
    a_replay,
    an_event,
    an_item,
    definitions_of,
    read_last,
    replayed,
    silver,
    table,
)

CLICKS = "  - {name: n, kind: count, of: click, by: item}\n"
PRICE = "  - {name: n, kind: attribute, of: price}\n"
DEFINITIONS = definitions_of(CLICKS)


def test_partitions_are_merged_by_arrival_and_keep_their_own_order():
    rows = [
        an_event(partition=0, offset=0, arrived_at=NOW + 20, event_time=1),
        an_event(partition=0, offset=1, arrived_at=NOW + 10, event_time=2),  # a clock that went back
        an_event(partition=1, offset=0, arrived_at=NOW + 15, event_time=3),
        an_event(partition=1, offset=1, arrived_at=NOW + 20, event_time=4),
        a_decision(partition=1, offset=2, arrived_at=NOW + 30, event_time=5),
        an_event(topic="drops", partition=0, offset=0, arrived_at=NOW + 20, event_time=6),
    ]
    history = a_history(rows[::-1], DEFINITIONS)
    assert history.times.tolist() == [3, 6, 1, 2, 4, 5]
    assert history.arrived.tolist() == [NOW + t for t in (15, 20, 20, 20, 20, 30)]
    assert history.codes.tolist()[-1] == DECISION_CODE


def test_nothing_gives_nothing():
    replay, probes = replayed([])
    assert probes.features.shape == (0, len(replay.definitions.names))
    assert probes.starts.tolist() == [0]


def test_event_types_that_the_domain_does_not_know_are_left_out():
    history = a_history([an_event(event_type="wink"), an_event()], DEFINITIONS)
    assert len(history) == 1


def test_a_decision_that_arrives_late_is_read_as_it_was_when_it_was_made():
    clicks = [an_event(event_time=NOW + k * MINUTE) for k in range(5)]
    late = a_decision(items=["i1"], event_time=NOW + 2 * MINUTE, arrived_at=NOW + HOUR)
    assert read_last([*clicks, late], CLICKS)["n"] == [3]


def test_a_decision_does_not_see_what_arrives_behind_it_in_the_same_millisecond():
    rows = [
        an_event(event_time=NOW, offset=1),
        a_decision(items=["i1"], event_time=NOW, offset=2),
        an_event(event_time=NOW, offset=3),
    ]
    assert read_last(rows, CLICKS)["n"] == [1]


def test_as_of_says_when_a_decision_was_made():
    rows = [an_event(event_time=NOW - 5), a_decision(items=["i1"], event_time=NOW, as_of=NOW - 10)]
    assert read_last(rows, CLICKS)["n"] == [0]


def test_a_decision_made_before_what_was_folded_earlier_is_marked():
    replay = a_replay(DEFINITIONS)
    replay.advance(a_history([an_event(event_time=NOW)], DEFINITIONS))
    rows = [
        a_decision(decision_id="late", event_time=NOW - MINUTE, arrived_at=NOW + 1),
        a_decision(decision_id="on time", event_time=NOW + 2),
    ]
    assert replay.advance(a_history(rows, DEFINITIONS)).is_late.tolist() == [True, False]


def test_users_and_items_may_be_met_at_any_time():
    replay = a_replay(DEFINITIONS)
    for n in range(40):
        new = [an_event(user_id=f"u{n}", item_id=f"i{k}", event_time=NOW + n) for k in range(n, n + 90)]
        replay.advance(a_history(new, DEFINITIONS))
    probe = replay.advance(
        a_history([a_decision(items=["i0", "i39", "i128", "i129"], event_time=NOW + HOUR)], DEFINITIONS)
    )
    assert probe.features[:, 0].tolist() == [1, 40, 1, 0]
    assert replay.tally[APPLIED] == 40 * 90 + 1


def test_the_catalog_may_grow_between_batches():
    definitions = definitions_of(PRICE)
    replay = a_replay(definitions, [an_item("i1", price=1.0)])
    asked = [a_decision(items=["i1", "i2"], event_time=NOW + n) for n in range(2)]
    before = replay.advance(a_history(asked[:1], definitions))
    replay.catalog.learn(table(ITEMS, [an_item("i2", price=2.0), an_item("i1", since=NOW + 1, price=3.0)]))
    after = replay.advance(a_history(asked[1:], definitions))
    np.testing.assert_array_equal(before.features[:, 0], [1, np.nan])
    np.testing.assert_array_equal(after.features[:, 0], [3, 2])


def test_two_versions_of_one_moment_leave_the_one_that_came_last():
    items = [an_item("i1", since=NOW, price=1.0), an_item("i1", since=NOW, price=2.0)]
    assert read_last([a_decision(items=["i1"])], PRICE, items)["n"] == [2]


def test_earlier_events_are_interactions_of_the_user_that_the_decision_could_know():
    rows = [
        an_event(event_time=NOW - 3),
        a_decision(event_time=NOW - 2),
        an_event(event_type="search", item_id=None, event_time=NOW - 1),
        a_decision(event_time=NOW),
        a_decision(user_id="bob", event_time=NOW),
        an_event(event_time=NOW + 1),
    ]
    assert replayed(rows, CLICKS)[1].earlier_events.tolist() == [1, 2, 0]


def test_baselines_are_outcomes_so_far_and_their_smoothed_rate():
    rows = [a_decision(event_time=NOW - 2), an_event(event_type="purchase", event_time=NOW - 1), a_decision()]
    _, probes = replayed(rows, CLICKS)
    np.testing.assert_allclose(
        probes.baselines[3:], [[1, (1 + 10 / 3) / 11], [0, (10 / 3) / 11], [0, (10 / 3) / 11]]
    )


def test_slices_and_chunks_of_arrow_columns_are_read_right():
    rows = [an_event(event_time=NOW + k, item_id=f"i{k % 3}") for k in range(9)]
    rows += [a_decision(items=["i0", "i1"], event_time=NOW + 20 + k) for k in range(4)]
    events, decisions = silver(rows)
    sliced = pa.concat_tables([events.slice(k, 3) for k in (0, 3, 6)])
    parts = pa.concat_tables([decisions.slice(0, 1), decisions.slice(1, 0), decisions.slice(1, 3)])
    whole = in_arrival_order(events, decisions, DEFINITIONS.events)
    pieces = in_arrival_order(sliced, parts, DEFINITIONS.events)
    for name, values in vars(whole).items():
        np.testing.assert_array_equal(getattr(pieces, name), values, err_msg=name)
