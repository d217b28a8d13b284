"""Rings of buckets and bounded tables, against the plainest code that keeps the same promise."""

from collections import OrderedDict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.features.program import MARK_BITS, RECENT_IDS, USER_HEAD
from pipelines.features.records import (
    add_in_bucket,
    count_in_buckets,
    find_slot,
    is_repeat,
    push,
    take_slot,
)

PATIENT = settings(deadline=None)  # the first call may compile
BUCKETS = 5
buckets = st.lists(st.integers(-3, 40), max_size=60)


def ring(adds):
    records = np.zeros((1, 1 + BUCKETS), np.int64)
    taken = [add_in_bucket(records, 0, 0, BUCKETS, b, 1) for b in adds]
    return records, taken


@given(buckets, st.integers(-5, 45), st.integers(1, BUCKETS))
@PATIENT
def test_a_ring_counts_exactly_what_it_still_covers(adds, bucket, window):
    records, taken = ring(adds)
    newest = max([0, *adds])
    covered = [b for b in adds if newest - BUCKETS < b]
    wanted = sum(bucket - window < b <= bucket for b in covered)
    assert count_in_buckets(records, 0, 0, BUCKETS, bucket, bucket % BUCKETS, window) == wanted
    assert taken == [b > max([0, *adds[:i]]) - BUCKETS for i, b in enumerate(adds)]


@given(buckets, st.randoms(use_true_random=False))
@PATIENT
def test_a_ring_does_not_depend_on_the_order(adds, chance):
    mixed = list(adds)
    chance.shuffle(mixed)
    assert np.array_equal(ring(adds)[0], ring(mixed)[0])


SLOTS, WORDS = 4, 2
TABLE = USER_HEAD
keys = st.lists(st.integers(-9, 9).filter(bool), max_size=80)


@given(keys)
@PATIENT
def test_a_table_keeps_the_keys_that_were_touched_last(touched):
    users = np.zeros((1, TABLE + SLOTS * (2 + WORDS)), np.int64)
    kept = OrderedDict()
    for key in touched:
        block = TABLE + 2 * SLOTS + WORDS * take_slot(users, 0, TABLE, SLOTS, WORDS, key)
        users[0, block] += 1
        users[0, block + 1] = key
        kept[key] = kept.pop(key, 0) + 1
        if len(kept) > SLOTS:
            kept.popitem(last=False)
    for key in range(-9, 10):
        slot = find_slot(users, 0, TABLE, SLOTS, key) if key else -1
        assert (slot >= 0) == (key in kept)
        if slot >= 0:
            block = TABLE + 2 * SLOTS + WORDS * slot
            assert users[0, block : block + WORDS].tolist() == [kept[key], key]


def test_a_repeat_is_known_among_the_latest_ids_only():
    users = np.zeros((1, USER_HEAD), np.int64)
    assert not any(is_repeat(users, 0, i) for i in range(1, RECENT_IDS + 1))
    assert all(is_repeat(users, 0, i) for i in range(1, RECENT_IDS + 1))
    assert not is_repeat(users, 0, RECENT_IDS + 1)
    assert not is_repeat(users, 0, 1), "the oldest was forgotten for the newest"


@given(st.lists(st.integers(1, 99), max_size=20))
@PATIENT
def test_a_ring_of_items_holds_the_latest(pushed):
    length = 4
    users = np.zeros((1, 1 + 2 * length), np.int64)
    for time, item in enumerate(pushed):
        push(users, 0, 0, length, item, time)
    latest = list(enumerate(pushed))[-length:]
    assert users[0, 0] == len(pushed)
    held = {(users[0, 1 + length + i], users[0, 1 + i]) for i in range(min(len(pushed), length))}
    assert held == set(latest)


def test_an_event_is_known_by_its_mark():
    users, mark = np.zeros((1, USER_HEAD), np.int64), 1 << MARK_BITS
    assert not is_repeat(users, 0, 7 - mark)
    assert is_repeat(users, 0, 7)
    assert not is_repeat(users, 0, 3 * mark), "a mark of zeros is one of an event too"
    assert is_repeat(users, 0, 3 * mark)
