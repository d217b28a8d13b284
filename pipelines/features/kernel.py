"""The kernel: `advance` folds events into records, `read` computes features from them. One compiled code for
every shop.

No clock, no input or output: what happens depends on the arguments alone. Item, value and everything records
only hold integers that commute, so events of different users may come in any order; a user's record follows
the order of that user's events.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.features import program as p
from pipelines.features.compiled import compiled
from pipelines.features.formulas import by_record, given, in_list, similarities, tastes
from pipelines.features.lookups import Lookups, version_at
from pipelines.features.program import Ints, Program, States
from pipelines.features.records import add_in_bucket, is_repeat, push, take_slot
from pipelines.features.vectors_kernel import Spaces, alone, beside_latest

APPLIED, REPEATED, TOO_LATE = range(3)


class Happenings(NamedTuple):
    """Events and decisions in the order in which they are folded."""

    times: Ints  # ms since 1970
    codes: Ints  # number of the event type; DECISION_CODE for a decision
    users: Ints  # row of the user's record
    ids: Ints  # hash of the event's or decision's id
    items: Ints  # row of the item's record, -1 for none
    lists_from: Ints  # a decision's items are listed[lists_from:lists_to]
    lists_to: Ints
    listed: Ints  # rows of items


@compiled
def advance(
    program: Program, states: States, catalog: Lookups, batch: Happenings, first: int, last: int, tally: Ints
) -> None:
    """Fold the happenings `first` to `last` (excluded) into the records.

    `tally[APPLIED]` grows by those that were folded, `tally[REPEATED]` by those left out because their user's
    latest events hold their id, `tally[TOO_LATE]` by those folded that some window had already moved past.
    """
    for i in range(first, last):
        user, code, time = batch.users[i], batch.codes[i], batch.times[i]
        if is_repeat(states.users, user, batch.ids[i]):
            tally[REPEATED] += 1
            continue
        tally[APPLIED] += 1
        late = _happen(program, states, catalog, user, batch.items[i], code, time)
        if code == p.DECISION_CODE:
            for at in range(batch.lists_from[i], batch.lists_to[i]):
                late |= _happen(program, states, catalog, user, batch.listed[at], p.SHOWN_CODE, time)
        else:
            states.users[user, p.USER_EVENTS] += 1
        tally[TOO_LATE] += late


@compiled
def _happen(
    program: Program, states: States, catalog: Lookups, user: int, item: int, code: int, time: int
) -> bool:
    late = False
    version = version_at(catalog, item, time)
    for t in range(program.targets.shape[0]):
        scope, key = program.targets[t, p.TARGET_SCOPE], program.targets[t, p.TARGET_KEY]
        of_values = scope == p.VALUE or (scope == p.SLOT and key != p.ITEM_KEY)
        needs_item = scope == p.ITEM or scope == p.SLOT
        if not program.targets[t, p.TARGET_MASK] >> code & 1 or (needs_item and item < 0):
            continue
        first, last = 0, 1
        if of_values:
            first = catalog.value_starts[key, version] if version >= 0 else 0
            last = catalog.value_starts[key, version + 1] if version >= 0 else 0
        for at in range(first, last):
            value = catalog.value_rows[at] if of_values else 0
            records, row, block = states.everything, 0, 0
            if scope == p.ITEM:
                records, row = states.items, item
            elif scope == p.VALUE:
                records, row = states.values, value
            elif scope != p.EVERYTHING:
                records, row = states.users, user
            if scope == p.SLOT:
                whose = catalog.value_keys[value] if of_values else catalog.item_keys[item]
                block = _block(program, states.users, user, t, whose)
            late |= _apply(program, catalog, t, records, row, block, code, time, version)
    for r in range(program.rings.shape[0] if item >= 0 else 0):
        if program.rings[r, p.RING_MASK] >> code & 1:
            ring, length = program.rings[r, p.RING_OFFSET], program.rings[r, p.RING_LENGTH]
            push(states.users, user, ring, length, catalog.item_keys[item], time)
    return late


@compiled
def _block(program: Program, users: Ints, user: int, t: int, key: int) -> int:
    """Where the words of the key begin, in a slot of the user's table that is now touched."""
    table, slots = program.targets[t, p.TARGET_TABLE], program.targets[t, p.TARGET_SLOTS]
    words = program.targets[t, p.TARGET_WORDS]
    return int(table + 2 * slots + words * take_slot(users, user, table, slots, words, key))


@compiled
def _apply(
    program: Program,
    catalog: Lookups,
    t: int,
    records: Ints,
    row: int,
    block: int,
    code: int,
    time: int,
    version: int,
) -> bool:
    late = False
    numbers = records.view(np.float64)
    for s in range(program.targets[t, p.TARGET_FIRST], program.targets[t, p.TARGET_LAST]):
        if not program.steps[s, p.STEP_MASK] >> code & 1:
            continue
        at, width, op = (
            block + program.steps[s, p.STEP_OFFSET],
            program.steps[s, p.STEP_WIDTH],
            program.steps[s, p.STEP_OP],
        )
        if op == p.ADD and width == 0:
            records[row, at] += 1
        elif op == p.ADD:
            late |= not add_in_bucket(records, row, at, program.steps[s, p.STEP_BUCKETS], time // width)
        elif op == p.LATEST:
            records[row, at] = max(records[row, at], time)
        elif op == p.LEARN:
            numbers[row, at] += 1.0
            share = max(1.0 / numbers[row, at], program.step_values[s])
            numbers[row, at + 1] += share * (program.rewards[code] - numbers[row, at + 1])
        elif version >= 0 and not np.isnan(catalog.numbers[version, program.steps[s, p.STEP_ARG]]):
            numbers[row, at] += 1.0
            numbers[row, at + 1] += catalog.numbers[version, program.steps[s, p.STEP_ARG]]
    return late


@compiled
def read(
    program: Program,
    states: States,
    catalog: Lookups,
    spaces: Spaces,
    user: int,
    items: Ints,
    positions: Ints,
    query: Ints,
    as_of: int,
) -> npt.NDArray[np.float32]:
    """Features of candidates for a user at `as_of` (ms) as float32[len(items), features]; NaN where unknown.

    `items` are rows of item records; `positions` are the places in the list, or their stand-in while ranking;
    `query` are the hashes of the query's terms, see `words.query_terms`.
    """
    features = np.empty((items.size, program.features.shape[0]), np.float64)
    found = np.empty(features.shape, np.float32)
    n = np.empty(p.MAX_STEPS, np.float64)
    versions = np.empty(items.size, np.int64)
    for j in range(items.size):
        versions[j] = version_at(catalog, items[j], as_of)
    for f in range(program.features.shape[0]):
        op, arg = program.features[f, p.FEATURE_OP], program.features[f, p.FEATURE_ARG]
        if op == p.TASTE:
            tastes(program, states, catalog, user, versions, f, features)
        elif op == p.CONTEXT:
            in_list(features, arg, program.features[f, p.FEATURE_AGGREGATE], f)
        elif op == p.QUERY_MATCH or op == p.HAS_VECTOR:
            alone(program, spaces, items, query, as_of, f, features)
        elif op in (p.NUMBER, p.POSITION, p.TIME):
            given(program, catalog, versions, positions, as_of, f, features)
        elif program.features[f, p.FEATURE_SHARE] == 0:
            continue  # computed with a feature before it
        elif op == p.SIMILARITY:
            similarities(program, states, catalog, user, versions, as_of, f, features)
        elif op == p.TO_LATEST or op == p.COVISITED:
            beside_latest(program, states, catalog, spaces, user, items, as_of, f, features)
        else:
            by_record(program, states, catalog, user, items, versions, as_of, f, n, features)
    for j in range(items.size):
        for f in range(features.shape[1]):
            found[j, f] = features[j, f]
    return found
