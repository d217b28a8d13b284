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

# Whose record: one for everything, one per item, one per attribute value, one per user, or a block of a
# user's table.
EVERYTHING, USER, ITEM, VALUE, SLOT = range(5)
ITEM_KEY = -1  # key of SLOT: the table keeps items apart, not the values of an attribute

# What a step does: count, keep the newest time, learn a value from rewards, add up an item's number.
ADD, LATEST, LEARN, SUM = range(4)
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

# How a feature is read. The first five give one number per record or attribute value, which is then
# aggregated.
COUNT, RATE, PREFERENCE, LEARNED, RECENCY, NUMBER, TASTE, SIMILARITY, POSITION, TIME, CONTEXT = range(11)
TO_LATEST, COVISITED, QUERY_MATCH, HAS_VECTOR = range(11, 15)
AGGREGATED = (COUNT, RATE, PREFERENCE, LEARNED, RECENCY, SIMILARITY, TO_LATEST, COVISITED)
WITH_RING = (SIMILARITY, TO_LATEST, COVISITED)
MEAN, MAX, MIN, TOTAL = range(4)
DISTANCE, DIFFERENCE, LEAN = range(3)
SINE, COSINE = range(2)
LIST_MEAN, LIST_STD, LIST_ZSCORE, LIST_RANK, LIST_DIFFERENCE = range(5)
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

# The head of a user's record: interactions so far, table touches so far, and the hashes of its latest events.
USER_EVENTS, USER_TOUCHES, USER_RECENT_NEXT, USER_RECENT = range(4)
RECENT_IDS = 64
USER_HEAD = USER_RECENT + RECENT_IDS

SHOWN_CODE, DECISION_CODE, FIRST_EVENT_CODE = range(3)
MAX_EVENT_TYPES = 60


class Program(NamedTuple):
    """The tables, as the kernel takes them."""

    steps: Ints  # [n, STEP_COLUMNS]
    step_values: Floats  # [n]: the smallest learning rate of LEARN
    targets: Ints  # [n, TARGET_COLUMNS]
    rings: Ints  # [n, RING_COLUMNS]
    features: Ints  # [n, FEATURE_COLUMNS]
    feature_values: Floats  # [n]: smoothing, fixed position, length of a cycle
    rewards: Floats  # [64], by event code


class States(NamedTuple):
    """Records as rows of words: see `Layouts`."""

    everything: Ints  # [1, words]
    items: Ints  # [n_items, words]
    values: Ints  # [n_values, words]
    users: Ints  # [n_users, words]
