"""Sums, means and distinct counts, worked out by hand and against sets."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.features.kinds.amounts import different, in_thousandths, remember
from pipelines.features.program import LARGEST, SKETCH_WORDS
from tests.builders_features import DAY, HOUR, NOW, a_decision, an_event, an_item, read_last

ITEMS = [
    an_item("i1", price=10.0, brand="acme", tags=["red", "new"]),
    an_item("i2", price=2.5, brand="acme", tags=["red"]),
    an_item("i3", brand="bolt"),
]


def near(*numbers):
    return pytest.approx(list(numbers), rel=1e-6, nan_ok=True)


def bought(item, ago, **fields):
    return an_event(event_type="purchase", item_id=item, event_time=NOW - ago, **fields)


def test_a_sum_adds_up_a_number_of_what_happened():
    features = (
        "  - {name: paid, kind: sum, of: purchase, number: price, by: user, window: [1d, all]}\n"
        "  - {name: brand, kind: sum, of: purchase, number: price, by: [user, brand], log: true}\n"
    )
    rows = [bought("i1", HOUR), bought("i2", HOUR), bought("i3", HOUR), bought("i1", 3 * DAY), a_decision()]
    found = read_last(rows, features, ITEMS)
    assert found["paid_1d"] == near(*[12.5] * 3)
    assert found["paid_all"] == near(*[22.5] * 3)
    assert found["brand"] == near(math.log(23.5), math.log(23.5), 0)


def test_the_number_is_that_of_the_moment_when_it_happened():
    items = [an_item("i1", price=1.0), an_item("i1", since=NOW - HOUR, price=5.0)]
    rows = [bought("i1", 2 * HOUR), bought("i1", HOUR // 2), a_decision(items=["i1"])]
    features = "  - {name: paid, kind: sum, of: purchase, number: price, by: user}\n"
    assert read_last(rows, features, items)["paid"] == near(6)


def test_a_mean_leaves_out_items_without_the_number_and_leans_to_that_of_everything():
    features = (
        "  - {name: usual, kind: mean, of: purchase, number: price, by: user, smooth: 0}\n"
        "  - {name: shrunk, kind: mean, of: purchase, number: price, by: user, smooth: 2}\n"
        "  - {name: item, kind: mean, of: purchase, number: price, by: item, smooth: 0}\n"
    )
    rows = [bought("i1", 9), bought("i3", 8), bought("i2", 7, user_id="bob"), a_decision()]
    found = read_last(rows, features, ITEMS)
    assert found["usual"] == near(*[10] * 3)
    assert found["shrunk"] == near(*[(10 + 2 * 6.25) / 3] * 3)
    assert found["item"] == near(10, 2.5, math.nan)


def test_amounts_are_kept_in_thousandths_and_cut_off():
    assert [in_thousandths(x) for x in (0.0, 1.2344, -1.2346, 0.0005)] == [0, 1234, -1235, 0]
    assert in_thousandths(math.nan) == 0
    assert in_thousandths(math.inf) == -in_thousandths(-1e300) == LARGEST * 1000
    assert 9_000_000 * in_thousandths(LARGEST) < 2**63, "so many of the largest fit"


def test_distinct_counts_tell_users_items_and_values_apart():
    features = (
        "  - {name: who, kind: distinct, of: purchase, what: user, by: item, window: [1h, all]}\n"
        "  - {name: items, kind: distinct, of: purchase, what: item, by: user}\n"
        "  - {name: tags, kind: distinct, of: purchase, what: tags, by: user, log: true}\n"
    )
    rows = [
        bought("i1", 9 * HOUR, user_id="cleo"),
        *(bought("i1", n) for n in range(5)),
        bought("i1", 5, user_id="bob"),
        bought("i2", 4),
        bought("i3", 3),
        a_decision(),
    ]
    found = read_last(rows, features, ITEMS)
    assert found["who_1h"] == near(2, 1, 1)
    assert found["who_all"] == near(3, 1, 1)
    assert found["items"] == near(3, 3, 3)
    assert found["tags"] == near(*[math.log(3)] * 3)


WORDS = SKETCH_WORDS


@given(st.sets(st.integers(-(2**63), 2**63 - 1), max_size=40), st.randoms(use_true_random=False))
def test_a_sketch_does_not_depend_on_order_or_repeats(keys, chance):
    def sketch(order):
        records = np.zeros((1, WORDS), np.int64)
        for key in order:
            remember(records, 0, 0, 0, 0, 0, key)
        return records

    mixed = [*keys, *keys]
    chance.shuffle(mixed)
    assert np.array_equal(sketch(list(keys)), sketch(mixed))


@pytest.mark.parametrize("n", [0, 1, 2, 10, 100, 500, 1500])
def test_a_sketch_is_close_to_the_number_of_different_keys(n):
    records = np.zeros((1, WORDS), np.int64)
    for key in np.random.default_rng(n).integers(-(2**63), 2**63 - 1, n):
        remember(records, 0, 0, 0, 0, 0, key)
    assert different(records, 0, 0, 0, 0, 0, 0) == pytest.approx(n, rel=0.12, abs=0.5)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5)), max_size=30), st.integers(0, 14))
def test_a_sketch_in_buckets_holds_what_the_ring_still_covers(seen, bucket):
    buckets, window, width = 4, 3, 10
    records = np.zeros((1, 1 + buckets * WORDS), np.int64)
    for b, key in seen:
        remember(records, 0, 0, width, buckets, b * width, key * 7)
    newest = max([0, *(b for b, _ in seen)])
    kept = {key for b, key in seen if bucket - window < b <= bucket and b > newest - buckets}
    assert different(records, 0, 0, width, buckets, window, bucket * width) == len(kept)
