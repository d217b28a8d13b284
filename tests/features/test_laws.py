"""Laws of the kernel: what the records and features of a history depend on, and what they do not."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.features.history import History
from pipelines.features.kernel import REPEATED, TOO_LATE
from pipelines.features.program import USER_TOUCHES
from pipelines.features.replay import Probes, Replay
from tests.builders_features import (
    DAY,
    EVERY_KIND,
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

DEFINITIONS = definitions_of()
WITHOUT_QUERIES = definitions_of("\n".join(line for line in EVERY_KIND.splitlines() if "query" not in line))
"""What an act counts for by query depends on what its user asked before: on the user's own order."""
ITEMS = [
    an_item("i0", price=3.0, brand="acme", tags=["red", "new"]),
    an_item("i1", price=8.5, brand="acme", tags=["red"]),
    an_item("i2", price=1.0, brand="bolt", tags=["blue", "old", "red"], title="Blue  shoe"),
    an_item("i2", since=NOW + HOUR, price=2.0, brand="acme", tags=["new"]),
    an_item("i3", since=NOW + HOUR, tags=["blue"]),
]
SPAN = (5 * MINUTE, HOUR, DAY, 200 * DAY)
QUICK = settings(max_examples=40, deadline=None)

users = st.sampled_from(["ann", "bob", "čenda"])
items = st.sampled_from(["i0", "i1", "i2", "i3", "unheard of"])
times = st.sampled_from(SPAN).flatmap(lambda span: st.integers(-span, span)).map(lambda t: NOW + t)
queries = st.sampled_from([None, "red shoe", "Blue", "ζώνη"])
happening = st.one_of(
    st.builds(
        lambda u, i, k, t: {"user_id": u, "item_id": i, "event_type": k, "event_time": t},
        *(users, st.one_of(st.none(), items), st.sampled_from(["view", "click", "purchase"]), times),
    ),
    st.builds(
        lambda u, q, t: {"user_id": u, "event_type": "search", "query": q, "event_time": t, "item_id": None},
        *(users, queries, times),
    ),
    st.builds(
        lambda u, i, q, t: {"user_id": u, "items": i, "query": q, "event_time": t},
        *(users, st.lists(items, max_size=4), queries, times),
    ),
)
happenings = st.lists(happening, max_size=40)


def in_order(made):
    """Rows that arrive in this order, whatever time they tell; a decision is made when it arrives."""
    rows = []
    for n, fields in enumerate(made):
        at = {"offset": n, "arrived_at": NOW + DAY + n}
        rows.append(
            a_decision(as_of=NOW + DAY + n, **at, **fields) if "items" in fields else an_event(**at, **fields)
        )
    return rows


def records(replay: Replay) -> dict[str, dict[int, list[int]]]:
    """Every record by the key of whose it is: rows are a matter of the carrier."""
    found = {"everything": {0: replay.states.everything[0].tolist()}}
    whose = {"users": replay.users, "items": replay.catalog.items, "values": replay.catalog.values}
    for name, rows in whose.items():
        words = getattr(replay.states, name)
        found[name] = {int(key): words[row].tolist() for row, key in enumerate(rows.keys())}
    return found


def shared(replay: Replay):
    return {name: kept for name, kept in records(replay).items() if name != "users"}


def folded(rows, definitions=DEFINITIONS) -> Replay:
    replay = a_replay(definitions, ITEMS)
    replay.advance(a_history(rows, definitions))
    return replay


@QUICK
@given(happenings, st.lists(st.integers(0, 40), max_size=5))
def test_batches_do_not_matter(made, cuts):
    history = a_history(in_order(made), DEFINITIONS)
    whole, parts = a_replay(DEFINITIONS, ITEMS), a_replay(DEFINITIONS, ITEMS)
    probes = [whole.advance(history)]
    places = [0, *sorted(c for c in cuts if c < len(history)), len(history)]
    pieces = [parts.advance(history.part(a, b)) for a, b in itertools.pairwise(places)]
    assert records(parts) == records(whole)
    assert not any(piece.is_late.any() for piece in pieces)
    assert features_by_decision(pieces) == features_by_decision(probes)
    assert not np.isinf(probes[0].features).any()


def features_by_decision(pieces: list[Probes]) -> dict[int, bytes]:
    found = {}
    for p in pieces:
        for k, row in enumerate(p.decision_rows):
            found[int(row)] = p.features[p.starts[k] : p.starts[k + 1]].tobytes()
    return found


@QUICK
@given(happenings, st.data())
def test_a_repeated_event_changes_nothing(made, data):
    rows = in_order(made)
    repeats = data.draw(st.lists(st.sampled_from(rows), max_size=10)) if rows else []
    again = [*rows, *(row | {"offset": 1000 + n} for n, row in enumerate(repeats))]
    once, twice = folded(rows), folded(again)
    assert records(twice) == records(once)
    assert twice.tally[REPEATED] == len(repeats)


@QUICK
@given(happenings, st.randoms(use_true_random=False))
def test_events_of_different_users_may_come_in_any_order(made, chance):
    rows = in_order(made)
    per_user = {name: [r for r in rows if r["user_id"] == name] for name in ("ann", "bob", "čenda")}
    turns = [r["user_id"] for r in rows]
    chance.shuffle(turns)
    mixed = [per_user[name].pop(0) for name in turns]
    moved = [row | {"offset": n, "arrived_at": NOW + DAY + n} for n, row in enumerate(mixed)]
    assert records(folded(moved)) == records(folded(rows))


@QUICK
@given(happenings, st.randoms(use_true_random=False))
def test_records_that_users_share_do_not_depend_on_any_order(made, chance):
    rows = in_order(made)
    mixed = list(rows)
    chance.shuffle(mixed)
    moved = [row | {"offset": n, "arrived_at": NOW + DAY + n} for n, row in enumerate(mixed)]
    assert shared(folded(moved, WITHOUT_QUERIES)) == shared(folded(rows, WITHOUT_QUERIES))


@QUICK
@given(happenings)
def test_a_decision_sees_nothing_that_arrived_after_it(made):
    assert_blind(made, lambda replay, history: replay.advance(history))


def assert_blind(made, carry) -> None:
    """Every decision's features are what they are when history ends with it."""
    history = a_history(in_order(made), DEFINITIONS)
    probes = carry(a_replay(DEFINITIONS, ITEMS), history)
    for k, row in enumerate(probes.decision_rows):
        place = int(np.flatnonzero(history.decision_rows == row)[0])
        past = carry(a_replay(DEFINITIONS, ITEMS), history.part(0, place + 1))
        alone = int(np.flatnonzero(past.decision_rows == row)[0])
        known = past.features[past.starts[alone] : past.starts[alone + 1]]
        np.testing.assert_array_equal(probes.features[probes.starts[k] : probes.starts[k + 1]], known)


IN_COMMON = (
    "  - {name: share, kind: context, of: tags, measure: share}\n"
    "  - {name: price, kind: attribute, of: price}\n"
    "  - {name: beside, kind: context, of: price, measure: median_difference}\n"
)
tag_sets = st.frozensets(st.sampled_from(["red", "Red", "ζώνη", "👟", "old"]))
prices = st.one_of(st.just(np.nan), st.floats(-1e6, 1e6))


@QUICK
@given(st.lists(st.tuples(tag_sets, prices), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_what_a_list_has_in_common_is_counted_and_does_not_depend_on_its_order(candidates, chance):
    goods = [an_item(f"i{n}", tags=sorted(tags), price=price) for n, (tags, price) in enumerate(candidates)]
    definitions = definitions_of(IN_COMMON)
    counts = Counter(tag for tags, _ in candidates for tag in tags)
    known = [price for _, price in candidates if not np.isnan(price)]
    middle = np.median(known) if known else np.nan
    for _ in range(2):
        names = [item["item_id"] for item in goods]
        replay = a_replay(definitions, goods)
        found = replay.advance(a_history([a_decision(items=names)], definitions)).features
        for name, (share, _, beside) in zip(names, found, strict=True):
            tags, price = candidates[int(name[1:])]
            common = sum(counts[tag] for tag in tags) / counts.total() if tags else np.nan
            np.testing.assert_array_equal(np.float32([common, price - middle]), [share, beside])
        chance.shuffle(goods)


def test_a_leak_would_be_seen():
    def leaking(replay: Replay, history: History) -> Probes:
        replay.advance(history)
        return replay.advance(history.part(0, len(history)))

    made = [
        {"user_id": "ann", "items": ["i0", "i1"], "event_time": NOW},
        {"user_id": "ann", "item_id": "i0", "event_type": "click", "event_time": NOW + 5},
    ]
    assert_blind(made, lambda replay, history: replay.advance(history))
    with pytest.raises(AssertionError):
        assert_blind(made, leaking)


@QUICK
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3)), min_size=1, max_size=40))
def test_a_late_event_counts_in_its_own_hour_and_a_too_late_one_is_only_tallied(happened):
    definitions = definitions_of("  - {name: n, kind: count, of: click, by: item, window: 1d}\n")
    rows = [
        an_event(event_time=NOW + hours * HOUR, arrived_at=NOW + DAY * 30 + n)
        for n, (hours, _) in enumerate(happened)
    ]
    replay = a_replay(definitions)
    replay.advance(a_history(rows, definitions))
    at = [NOW // HOUR + hours for hours, _ in happened]
    too_late = sum(hour <= max(at[:n], default=0) - 25 for n, hour in enumerate(at))
    assert replay.tally[TOO_LATE] == too_late
    asked = max(at)
    probe = replay.advance(
        a_history([a_decision(items=["i1"], event_time=asked * HOUR, arrived_at=NOW + DAY * 60)], definitions)
    )
    assert probe.features[0, 0] == sum(asked - 25 < hour for hour in at)


def test_a_million_events_of_one_user_leave_a_record_of_the_same_size():
    n = 1_000_000
    base = a_history([an_event(event_time=NOW)], DEFINITIONS)
    many = {name: np.repeat(v, n) for name, v in vars(base).items() if name not in ("listed", "terms")}
    many |= {"ids": np.arange(1, n + 1), "times": NOW + np.arange(n), "arrived": NOW + np.arange(n)}
    replay = a_replay(DEFINITIONS, ITEMS)
    size = replay.states.users.shape[1]
    replay.advance(History(**many, listed=base.listed, terms=base.terms))
    assert replay.states.users.shape[1] == size
    assert replay.states.users[0, USER_TOUCHES] >= n
    probe = replay.advance(a_history([a_decision(event_time=NOW + n, arrived_at=NOW + n)], DEFINITIONS))
    clicks = DEFINITIONS.names.index("clicks_all")
    assert probe.features[0, clicks] == n


@pytest.mark.parametrize("time", [-(2**40), -1, 0, 2**41])
def test_times_far_from_now_are_times_like_others(time):
    rows = [
        an_event(event_time=time, arrived_at=NOW),
        a_decision(items=["i1"], event_time=time, as_of=NOW + 1, arrived_at=NOW + 1),
    ]
    replay = a_replay(DEFINITIONS, ITEMS)
    probes = replay.advance(a_history(rows, DEFINITIONS))
    assert probes.features[0, DEFINITIONS.names.index("clicks_all")] == 1
    assert not np.isinf(probes.features).any()


def test_what_happens_without_what_it_is_counted_per_gives_no_infinity():
    features = (
        "  - {name: raw, kind: rate, of: purchase, per: click, by: item, smooth: 0}\n"
        "  - {name: shown, kind: rate, of: purchase, by: item}\n"
        "  - {name: trend, kind: trend, of: purchase, by: item, window: 1h, against: 1d, smooth: 0}\n"
        "  - {name: price, kind: relative, of: purchase, attribute: price}\n"
    )
    items = [an_item("i0", price=0.0), an_item("i1", price=8.5), an_item("i2", price=1e300)]
    rows = [an_event(item_id=f"i{n}", event_type="purchase", event_time=NOW - DAY // 2) for n in (0, 1)]
    replay = a_replay(definitions_of(features), items)
    bought = [*rows[:1], a_decision(items=["i0", "i1", "i2"])]
    probes = replay.advance(a_history(bought, replay.definitions))
    assert np.isnan(probes.features).all()
