"""What readers see who know less: users as they were a while ago, or items without a past."""

import numpy as np

from pipelines.features.stale import NEVER, Knowledge, read_with
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
)

EACH = definitions_of(
    "  - {name: mine, kind: count, of: click, by: user}\n"
    "  - {name: its, kind: count, of: click, by: item}\n"
    "  - {name: of_tag, kind: count, of: click, by: tags, aggregate: sum}\n"
)
ITEMS = [an_item("i1", tags=["red"])]
ROWS = [
    *(an_event(event_time=NOW + minute * MINUTE) for minute in range(5)),
    a_decision(items=["i1"], event_time=NOW + 5 * MINUTE),
]


def read(knowledge, rows=ROWS):
    catalog = a_replay(EACH, ITEMS).catalog
    return read_with(knowledge, a_history(rows, EACH), EACH, catalog).features.tolist()


def test_with_all_knowledge_it_reads_what_the_replay_reads():
    everything = definitions_of()
    chance = np.random.default_rng(4)
    times = np.sort(chance.integers(0, 3 * HOUR, 120)) + NOW
    names = [f"i{n}" for n in range(5)]
    rows = [
        a_decision(user_id=f"u{time % 3}", items=names, event_time=int(time))
        if time % 4 == 0
        else an_event(user_id=f"u{time % 3}", item_id=names[time % 5], event_time=int(time))
        for time in times
    ]
    items = [an_item(name, price=2.0, brand="acme", tags=["red", name]) for name in names]
    replay, other = a_replay(everything, items), a_replay(everything, items)
    usual = replay.advance(a_history(rows, everything))
    found = read_with(Knowledge(), a_history(rows, everything), everything, other.catalog)
    np.testing.assert_array_equal(found.features, usual.features)
    np.testing.assert_array_equal(found.baselines, usual.baselines)
    np.testing.assert_array_equal(found.starts, usual.starts)
    np.testing.assert_array_equal(found.earlier_events, usual.earlier_events)


def test_a_delay_hides_the_latest_of_a_user_and_nothing_else():
    assert read(Knowledge()) == [[5, 5, 5]]
    assert read(Knowledge(user_delay_ms=2 * MINUTE)) == [[4, 5, 5]]
    assert read(Knowledge(user_delay_ms=2 * MINUTE + 1)) == [[3, 5, 5]]
    assert read(Knowledge(user_delay_ms=NEVER)) == [[0, 5, 5]]


def test_an_unknown_item_has_its_attributes_and_no_past():
    assert read(Knowledge(knows_items=False)) == [[5, 0, 5]]


def test_what_is_late_for_one_decision_is_known_at_the_next():
    again = a_decision(items=["i1"], event_time=NOW + 9 * MINUTE)
    assert read(Knowledge(user_delay_ms=2 * MINUTE), [*ROWS, again]) == [[4, 5, 5], [5, 5, 5]]
