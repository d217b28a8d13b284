"""Behaviour vectors: what each number means, that none is ever missing, and that order does not matter."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.anomalies.behaviour import NAMES, Kind
from pipelines.errors import SettingsError
from tests.anomalies.builders import HOUR, act, change, found, the_vector

DAY = 24 * HOUR


def some(vector, *names):
    return tuple(vector[name] for name in names)


def test_counts_and_shares():
    kinds = ["search", "decision", "click", "click", "cart", "purchase", "login_failed", "view", "refund"]
    vector = the_vector(
        *(act(n, kind, shown=10 if kind == "decision" else None) for n, kind in enumerate(kinds))
    )
    assert some(vector, "events", "decisions", "shown", "searches", "views", "clicks") == (8, 1, 10, 1, 1, 2)
    assert some(vector, "carts", "purchases", "refunds", "failures", "failure_share") == (1, 1, 1, 1, 1 / 8)
    assert some(vector, "clicks_per_decision", "clicks_per_shown", "carts_per_click") == (2, 0.2, 0.5)
    assert some(vector, "purchases_per_cart", "kinds") == (1, 8)


def test_distinct_values_and_repeated_items():
    rows = [
        change(-9, "hat", "hats"),
        change(2.5, "hat", "old hats"),
        act(0, item_id="hat", device_id="d1", ip_hash="x", source="web", session_id="s", query="a"),
        act(1, item_id="hat", device_id="d2", ip_hash="x", source="web"),
        act(2, item_id="shoe", device_id="d2"),
        act(3, "search", query="b"),
        act(4, item_id="hat"),
    ]
    vector = the_vector(*rows)
    names = ("distinct_items", "distinct_devices", "distinct_addresses", "distinct_sources", "distinct_users")
    assert some(vector, *names) == (2, 2, 1, 1, 1)
    assert some(vector, "distinct_sessions", "distinct_queries", "repeated_item_share") == (1, 2, 1 / 2)
    assert vector["distinct_categories"] == 2, "an item is of the category it had then; shoe has none"


def test_money():
    rows = [act(0, "purchase", money=300), act(1, "purchase", money=50), act(2, "cart", money=900), act(3)]
    assert some(the_vector(*rows), "spent_minor", "dearest_minor", "carted_minor") == (350, 300, 900)
    assert found(rows)[("ann", 0)]["exposure"] == 900
    assert found(rows[3:])[("ann", 0)]["exposure"] == 1


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


def test_a_lone_act_has_the_longest_silence_and_nothing_else_unknown():
    vector = the_vector(act(7))
    assert some(vector, "gap_mean_s", "gap_shortest_s", "gap_variation", "gap_entropy") == (300, 300, 0, 0)
    others = set(NAMES) - {"events", "views", "kinds", "gap_mean_s", "gap_shortest_s", "distinct_users"}
    assert {name: vector[name] for name in others if vector[name]} == {}


@pytest.mark.parametrize(
    ("kind", "column", "others"),
    [
        ("user/5", "user_id", "distinct_devices"),
        ("session/60", "session_id", "distinct_users"),
        ("device/60", "device_id", "distinct_users"),
        ("address/1440", "ip_hash", "distinct_users"),
    ],
)
def test_windows_and_entities_are_apart(kind, column, others):
    length = Kind.of(kind).length / 1000
    ids = {"user_id": "u", "session_id": "s", "device_id": "d", "ip_hash": "a"}
    rows = [act(length - 0.001, **ids), act(length, **ids), act(length + 1, **(ids | {column: "other"}))]
    rows.append(act(length + 2, **(ids | {column: None, "user_id": "z"} if column != "user_id" else ids)))
    by_key = found(rows, kind)
    own = ids[column]
    assert set(by_key) == {(own, 0), (own, 1), ("other", 1)}, "an act without the entity belongs to nobody"
    assert all(row["vector"][NAMES.index(others)] == 1 for row in by_key.values())
    assert {row["window_minutes"] for row in by_key.values()} == {Kind.of(kind).minutes}


def test_what_is_new_is_new_against_the_own_history():
    past = [
        act(-HOUR, "view", item_id="hat", device_id="d1", ip_hash="home"),
        act(-9, user_id="bob", device_id="d2"),
    ]
    now = [
        act(0, "login_failed", device_id="d2", ip_hash="home"),
        act(1, item_id="hat"),
        act(2, item_id="shoe"),
    ]
    vector = the_vector(*past, *now)
    assert some(vector, "history_acts", "new_devices", "new_addresses", "new_kinds", "new_users") == (
        1,
        1,
        0,
        1,
        0,
    )
    assert vector["new_item_share"] == 0.5
    assert vector["acts_over_history"] == pytest.approx(math.log2(4 / (1 + 1 / 288)))
    links = dict(found([*past, *now])[("ann", 0)]["links"])
    assert links == {"device": "d2", "address": "home"}
    long_ago = [act(-DAY - 1, item_id="hat", device_id="d2")]
    assert some(the_vector(*long_ago, *now), "history_acts", "new_devices", "new_kinds") == (0, 0, 0)
    both = the_vector(act(-DAY - 1, device_id="d2"), act(-2, device_id="d1"), *now)
    assert both["new_devices"] == 1, "what was before the history is forgotten"


def test_an_hour_at_which_one_never_comes_is_surprising():
    at_noon = [act(-DAY / 2 + 60 * n) for n in range(40)]
    noon, night = (the_vector(*at_noon, act(hour * HOUR), window=12 * hour) for hour in (12, 3))
    assert noon["hour_surprise"] < 0.2
    assert night["hour_surprise"] == pytest.approx(math.log2(44 / 0.5))
    assert the_vector(act(0))["hour_surprise"] == 0


def test_those_who_behave_the_same_are_counted_and_share_a_pattern():
    bots = [act(10 * n, "click", user_id=f"bot{b}", item_id="hat") for n in range(6) for b in range(3)]
    people = [act(3 * n * n, "view", user_id="ann", item_id=f"i{n}") for n in range(6)]
    idle = [act(1, user_id=name) for name in ("x", "y")]
    rows = found([*bots, *people, *idle])
    alike = {name: row["vector"][NAMES.index("look_alikes")] for (name, _), row in rows.items()}
    assert alike == {"bot0": 2, "bot1": 2, "bot2": 2, "ann": 0, "x": 0, "y": 0}
    assert len({dict(rows[(f"bot{b}", 0)]["links"])["pattern"] for b in range(3)}) == 1
    assert "pattern" not in dict(rows[("ann", 0)]["links"])


def test_peers_are_those_who_came_the_same_way_in_the_window():
    crowd = [act(n, user_id=f"u{n % 9}", source="web") for n in range(27)]
    busy = [act(2 * n, user_id="busy", source="web") for n in range(63)]
    alone = [act(n, user_id="app", source="app") for n in range(63)]
    rows = found([*crowd, *busy, *alone])
    over = {name: row["vector"][NAMES.index("acts_over_peers")] for (name, _), row in rows.items()}
    assert over["busy"] == 4
    assert over["u1"] == over["app"] == 0
    distance = {name: row["vector"][NAMES.index("peer_distance")] for (name, _), row in rows.items()}
    assert distance["busy"] > 1 > distance["u1"]


def test_those_who_came_by_one_device_are_one_peer():
    crowd = [act(n, user_id=f"u{n % 9}", source="web", device_id=f"d{n % 9}") for n in range(27)]
    busy = [act(2 * n, user_id="busy", source="web") for n in range(63)]
    tried = [act(n, user_id=f"victim{n}", source="web", device_id="thief") for n in range(100)]
    rows = found([*crowd, *busy, *tried])
    over = {name: row["vector"][NAMES.index("acts_over_peers")] for (name, _), row in rows.items()}
    assert over["busy"] == 4, "the others' median is three acts, not one"
    assert over["victim1"] == -1


@pytest.mark.parametrize("text", ["user", "user/0", "robot/5", "user/x", "user/5.5"])
def test_an_unknown_kind_is_told(text):
    with pytest.raises(SettingsError, match="entities: user, session, device, address"):
        Kind.of(text)


ACTS = st.builds(
    act,
    seconds=st.integers(-90_000_000, 900_000).map(lambda ms: ms / 1000),
    kind=st.sampled_from(["view", "click", "cart", "decision", "login_failed", "purchase"]),
    user_id=st.sampled_from(["ann", "bob", "cyd"]),
    item_id=st.sampled_from([None, "hat", "shoe"]),
    device_id=st.sampled_from([None, "d1", "d2"]),
    ip_hash=st.sampled_from([None, "home"]),
    source=st.sampled_from([None, "web"]),
    money=st.sampled_from([None, 1, 250]),
    id=st.uuids().map(str),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(ACTS, min_size=1, max_size=40),
    st.randoms(use_true_random=False),
    st.sampled_from(["user/5", "device/60", "address/1440"]),
)
def test_order_and_repeats_do_not_change_a_bit_and_every_value_is_finite(rows, chance, kind):
    expected = found(rows, kind)
    assert all(len(r["vector"]) == len(NAMES) and np.isfinite(r["vector"]).all() for r in expected.values())
    again = [*rows, *rows[: len(rows) // 2]]
    chance.shuffle(again)
    assert found(again, kind) == expected
    alone = {}
    for number in {number for _, number in expected}:
        alone |= found(rows, kind, windows=[number])
    assert alone == expected, "a window does not depend on which others are made with it"
