"""What declarations compile to: tables of integers that one compiled kernel follows, whatever the shop.

`steps` say what an event changes in which record, `targets` group the steps of one record, `rings` are the
user's lists of latest items, `features` say how each feature is read from the records. Constants name the
columns and their codes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Whose record: one for everything, one per user, item and attribute value; a block of a user's table; a block
# of a table that forgets with the session; a cell of a query.
EVERYTHING, USER, ITEM, VALUE, SLOT, SESSION, QUERY = range(7)
# Key of a table: an attribute, whose values it keeps apart; items; or nothing, for the session or query
# alone.
ITEM_KEY, ALONE = -1, -2

# What a step does: count, keep the newest time, learn a value from rewards, add up an item's number as float,
# add it up in fixed point, count the items that have it, count by place, remember the different ones, keep
# the oldest time.
ADD, LATEST, LEARN, SUM, AMOUNT, PRESENT, WEIGHT, DISTINCT, FIRST = range(9)
FIXED_POINT = 1000.0  # AMOUNT and WEIGHT are kept in thousandths
LARGEST = 1e9  # of an amount
LATER_THAN_ALL = 2**62  # ms; FIRST is kept as the distance from it: what is oldest is largest
SKETCH_WORDS = 8  # words of 64 bits for the different ones of a bucket
STEP_SCOPE, STEP_KEY, STEP_OP, STEP_MASK, STEP_OFFSET, STEP_WIDTH, STEP_BUCKETS, STEP_ARG, STEP_TARGET = (
    range(9)
)
STEP_COLUMNS = 9

TARGET_SCOPE, TARGET_KEY, TARGET_FIRST, TARGET_LAST, TARGET_TABLE, TARGET_SLOTS, TARGET_WORDS, TARGET_MASK = (
    range(8)
)
TARGET_COLUMNS = 8

RING_MASK, RING_OFFSET, RING_LENGTH = range(3)
RING_COLUMNS = 3

# How a feature is read. AGGREGATED ones give one number per record, attribute value or latest item, which is
# then aggregated.
COUNT, RATE, PREFERENCE, LEARNED, RECENCY, NUMBER, TASTE, SIMILARITY, POSITION, TIME, CONTEXT = range(11)
TO_LATEST, COVISITED, QUERY_MATCH, HAS_VECTOR, IS_NEW, TREND, SUM_OF, MEAN_OF, DISTINCT_OF = range(11, 20)
RELATIVE, AGE, SESSION_SO_FAR, LIST_SHARE = range(20, 24)
WITH_RING = (SIMILARITY, TO_LATEST, COVISITED, RELATIVE)
AGGREGATED = (
    *(COUNT, RATE, PREFERENCE, LEARNED, RECENCY, SIMILARITY, TO_LATEST, COVISITED),
    *(IS_NEW, TREND, SUM_OF, MEAN_OF, DISTINCT_OF),
)
MEAN, MAX, MIN, TOTAL = range(4)
DISTANCE, DIFFERENCE, LEAN = range(3)
RATIO, SHARE_BELOW = range(3, 5)
ACTS, LENGTH, PAUSE, DWELL = range(4)
SINE, COSINE = range(2)
LIST_MEAN, LIST_STD, LIST_ZSCORE, LIST_RANK, LIST_DIFFERENCE, LIST_MEDIAN, LIST_MEDIAN_DIFFERENCE = range(7)
(
    FEATURE_OP,
    FEATURE_SCOPE,
    FEATURE_KEY,
    FEATURE_AGGREGATE,
    FEATURE_LOG,
    FEATURE_BUCKETS,
    FEATURE_ARG,
    FEATURE_SHARE,
    FEATURE_TARGET,
    FEATURE_STEPS,
) = range(10)
MAX_STEPS = 8  # numbers of the state that one feature needs at most
FEATURE_COLUMNS = FEATURE_STEPS + MAX_STEPS
NO_STEP = -1

# The head of a user's record: interactions so far, table touches so far, the query asked last, the session
# (its number, when it began, its latest act, its acts so far), and marks of the latest events: so many bits
# of their hashes that one event in 17 billion is taken for a repeat.
USER_EVENTS, USER_TOUCHES, USER_QUERY, USER_SESSION, USER_SINCE, USER_UNTIL, USER_ACTS = range(7)
USER_RECENT_NEXT, USER_RECENT = range(7, 9)
RECENT_IDS, MARK_BITS = 64, 40
USER_HEAD = USER_RECENT + RECENT_IDS

SHOWN_CODE, DECISION_CODE, FIRST_EVENT_CODE = range(3)
MAX_EVENT_TYPES = 60


class Program(NamedTuple):
    """The tables, as the kernel takes them."""

    steps: Ints  # [n, STEP_COLUMNS]
    step_values: Floats  # [n]: the smallest learning rate of LEARN, the power of the place of WEIGHT
    targets: Ints  # [n, TARGET_COLUMNS]
    rings: Ints  # [n, RING_COLUMNS]
    features: Ints  # [n, FEATURE_COLUMNS]
    feature_values: Floats  # [n]: smoothing, fixed position, length of a cycle
    rewards: Floats  # [64], by event code
    gap: int  # ms: a longer pause ends a session


class States(NamedTuple):
    """Records as rows of words: see `Layouts`."""

    everything: Ints  # [1, words]
    items: Ints  # [n_items, words]
    values: Ints  # [n_values, words]
    users: Ints  # [n_users, words]
