"""Behaviour vectors: what each number means, that none is ever missing, and that batching does not matter."""

import datetime
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.anomalies.behaviour import DISTINCT, NAMES, _of_whole_users, behaviour_vectors, vectors
from tests.builders_gold import a_decision, an_event, at, decisions, events

LENGTH = 300_000
COLUMNS = ("user_id", "kind", *DISTINCT.values())


def act(seconds, kind="view", user_id="ann", **more):
    return {"at": round(seconds * 1000), "kind": kind, "user_id": user_id} | more


def table(rows):
    texts = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in COLUMNS}
    numbers = {name: pa.array([row.get(name) for row in rows], pa.int64()) for name in ("at", "revenue")}
    return pa.table(texts | numbers)


def by_key(found):
    return {(r["entity_id"], r["window_start"]): r["vector"] for r in found.to_pylist()}


def the_vector(*rows):
    [vector] = by_key(vectors(table(rows), LENGTH, 1)).values()
    return dict(zip(NAMES, vector, strict=True))


def some(vector, *names):
    return tuple(vector[name] for name in names)


def test_counts_and_shares():
    kinds = ["search", "decision", "click", "click", "cart", "purchase", "login_failed", "view"]
    vector = the_vector(*(act(n, kind) for n, kind in enumerate(kinds)))
    assert some(vector, "events", "decisions", "searches", "clicks", "carts", "purchases") == (
        7,
        1,
        1,
        2,
        1,
        1,
    )
    assert some(vector, "failures", "failure_share") == (1, 1 / 7)
    assert some(vector, "clicks_per_decision", "carts_per_click", "purchases_per_click") == (2, 0.5, 0.5)
    assert vector["kinds"] == 7


def test_distinct_values_and_repeated_items():
    rows = [
        act(0, item_id="hat", device_id="d1", ip_hash="x", source="web", session_id="s", query="a"),
        act(1, item_id="hat", device_id="d2", ip_hash="x", source="web"),
        act(2, item_id="shoe", device_id="d2"),
        act(3, "search", query="b"),
    ]
    vector = the_vector(*rows)
    assert some(vector, "distinct_items", "distinct_devices", "distinct_addresses", "distinct_sources") == (
        2,
        2,
        1,
        1,
    )
    assert some(vector, "distinct_sessions", "distinct_queries", "repeated_item_share") == (1, 2, 1 / 3)


def test_money():
    vector = the_vector(act(0, revenue=300), act(1, revenue=50), act(2))
    assert some(vector, "spent_minor", "dearest_minor") == (350, 300)


def test_a_metronome_has_no_variation_and_no_entropy():
    vector = the_vector(*(act(10 * n) for n in range(5)))
    assert some(vector, "gap_mean_s", "gap_shortest_s", "gap_variation", "gap_entropy") == (10, 10, 0, 0)


def test_gaps_of_two_sizes_have_one_bit_and_their_variation():
    vector = the_vector(act(0), act(1), act(101))
    assert some(vector, "gap_mean_s", "gap_shortest_s", "gap_entropy") == (50.5, 1, 1)
    assert vector["gap_variation"] == pytest.approx(49.5 / 50.5)


def test_entropy_of_kinds_is_in_bits():
    assert the_vector(act(0, "view"), act(1, "click"), act(2, "cart"), act(3, "search"))["kind_entropy"] == 2
    assert the_vector(act(0, "view"), act(1, "view"))["kind_entropy"] == 0


def test_a_lone_row_has_the_longest_silence_and_nothing_else_unknown():
    vector = the_vector(act(7))
    assert some(vector, "gap_mean_s", "gap_shortest_s", "gap_variation", "gap_entropy") == (300, 300, 0, 0)
    assert some(vector, "failure_share", "clicks_per_decision", "repeated_item_share", "spent_minor") == (
        0,
        0,
        0,
        0,
    )


def test_windows_and_users_are_apart():
    found = by_key(vectors(table([act(299.999), act(300), act(301, user_id="bob")]), LENGTH, 4))
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    later = epoch + datetime.timedelta(minutes=5)
    assert set(found) == {("ann", epoch), ("ann", later), ("bob", later)}
    assert all(vector[NAMES.index("events")] == 1 for vector in found.values())


ACTS = st.builds(
    act,
    seconds=st.integers(0, 900_000).map(lambda ms: ms / 1000),
    kind=st.sampled_from(["view", "click", "cart", "decision", "login_failed", "purchase"]),
    user_id=st.sampled_from(["ann", "bob", "cyd"]),
    item_id=st.sampled_from([None, "hat", "shoe"]),
    device_id=st.sampled_from([None, "d1", "d2"]),
    revenue=st.sampled_from([None, 1, 250]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(ACTS, min_size=1, max_size=40), st.randoms(use_true_random=False), st.integers(1, 7))
def test_order_and_batches_do_not_change_a_bit_and_every_value_is_finite(rows, chance, size):
    expected = by_key(vectors(table(rows), LENGTH, 1))
    assert all(len(v) == len(NAMES) and np.isfinite(v).all() for v in expected.values())
    chance.shuffle(rows)
    by_user = table(sorted(rows, key=lambda row: row["user_id"]))
    batches = [by_user.slice(n, size).combine_chunks().to_batches()[0] for n in range(0, len(rows), size)]
    found = pa.Table.from_batches(list(_of_whole_users(LENGTH, 1)(iter(batches))))
    assert found.num_rows == len(expected)
    assert by_key(found) == expected


def test_vectors_of_silver(spark):
    rows = [
        an_event(0, "click", item_id="hat", device_id="d"),
        an_event(0.5, "purchase", item_id="hat", price_minor=100, quantity=2, currency="EUR"),
    ]
    frame = behaviour_vectors(
        events(spark, *rows), decisions(spark, a_decision(0.25)), datetime.timedelta(minutes=5), revision=9
    )
    [row] = frame.toArrow().to_pylist()
    vector = dict(zip(NAMES, row["vector"], strict=True))
    assert (row["entity"], row["entity_id"], row["window_start"], row["revision"]) == (
        "user",
        "ann",
        at(0),
        9,
    )
    assert row["day"] == datetime.date(2026, 3, 1)
    assert some(vector, "events", "decisions", "spent_minor", "gap_mean_s") == (2, 1, 200, 15)
    assert math.isclose(vector["kind_entropy"], math.log2(3))
