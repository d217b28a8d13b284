"""The kernel that folds events into records, `advance`; `reading.read` computes features from them. One
compiled code for every shop.

No clock, no input or output: what happens depends on the arguments alone. Item, value and everything records
only hold integers that commute, so events of different users may come in any order; a user's record follows
the order of that user's events.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipelines.features import program as p
from pipelines.features.cells import cell, put
from pipelines.features.compiled import compiled
from pipelines.features.kinds.amounts import OF_ITEMS, OF_USERS, in_thousandths, remember
from pipelines.features.kinds.counters import count
from pipelines.features.kinds.preferences import add_up, learn
from pipelines.features.kinds.session import in_session, join_session
from pipelines.features.lent import lent
from pipelines.features.lookups import MISSING, Lookups, values_of, version_at
from pipelines.features.program import Ints, Program, States
from pipelines.features.records import is_repeat, push, take_slot

APPLIED, REPEATED, TOO_LATE = range(3)


class Happenings(NamedTuple):
    """Events and decisions in the order in which they are folded."""

    times: Ints  # ms since 1970
    codes: Ints  # number of the event type; DECISION_CODE for a decision
    users: Ints  # row of the user's record
    user_keys: Ints  # hash of the user's id
    ids: Ints  # hash of the event's or decision's id
    items: Ints  # row of the item's record, -1 for none
    lists_from: Ints  # a decision's items are listed[lists_from:lists_to]
    lists_to: Ints
    listed: Ints  # rows of items
    queries_from: Ints  # the hashes of its query's terms are terms[queries_from:queries_to]
    queries_to: Ints
    terms: Ints


class Act(NamedTuple):
    """What happens to one item, or to none: an event, a decision, or an item's being shown."""

    time: int
    code: int
    user: int
    user_key: int
    item: int  # MISSING for none
    version: int  # of the item, at that time
    place: int  # in the shown list, from 1; 0 for an event
    session: int  # number of the user's session; 0 for an act of a session before
    query: int  # hash of the query that the user asked last, 0 for none


@compiled
def advance(
    program: Program, states: States, catalog: Lookups, batch: Happenings, first: int, last: int, tally: Ints
) -> None:
    """Fold the happenings `first` to `last` (excluded) into the records.

    `tally[APPLIED]` grows by those that were folded, `tally[REPEATED]` by those left out because their user's
    latest events hold their id, `tally[TOO_LATE]` by those folded that some window had already moved past.
    """
    program, states, catalog = lent(program), lent(states), lent(catalog)
    users = states.users
    for i in range(first, last):
        user, key, code, time = batch.users[i], batch.user_keys[i], batch.codes[i], batch.times[i]
        if is_repeat(users, user, batch.ids[i]):
            tally[REPEATED] += 1
            continue
        tally[APPLIED] += 1
        session = users[user, p.USER_SESSION] if join_session(users, user, time, program.gap) else 0
        if code == p.DECISION_CODE or batch.queries_from[i] < batch.queries_to[i]:
            users[user, p.USER_QUERY] = as_query(batch.terms[batch.queries_from[i] : batch.queries_to[i]])
        query, item = users[user, p.USER_QUERY], batch.items[i]
        version = version_at(catalog, item, time)
        act = Act(time, code, user, key, item, version, 0, session, query)
        late = _happen(program, states, catalog, act)
        if code != p.DECISION_CODE:
            users[user, p.USER_EVENTS] += 1
        for at in range(batch.lists_from[i], batch.lists_to[i] if code == p.DECISION_CODE else 0):
            item, place = batch.listed[at], at - batch.lists_from[i] + 1
            version = version_at(catalog, item, time)
            act = Act(time, p.SHOWN_CODE, user, key, item, version, place, session, query)
            late |= _happen(program, states, catalog, act)
        tally[TOO_LATE] += late


@compiled
def as_query(terms: Ints) -> int:
    """One hash for the terms of a query, in any order; 0 without any."""
    total = np.int64(0)
    for term in terms:
        total += term
    return int(total)


@compiled
def _happen(program: Program, states: States, catalog: Lookups, act: Act) -> bool:
    late = False
    for t in range(program.targets.shape[0]):
        if not program.targets[t, p.TARGET_MASK] >> act.code & 1:
            continue
        scope, key = program.targets[t, p.TARGET_SCOPE], program.targets[t, p.TARGET_KEY]
        of_items = scope == p.ITEM or (scope >= p.SLOT and key == p.ITEM_KEY)
        is_out = (scope == p.SESSION and act.session == 0) or (scope == p.QUERY and act.query == 0)
        if is_out or (of_items and act.item < 0):
            continue
        if scope == p.VALUE or (scope >= p.SLOT and key >= 0):
            first, last = values_of(catalog, key, act.version)
            for at in range(first, last):
                late |= _touch(program, states, catalog, t, catalog.value_rows[at], act)
        else:
            late |= _touch(program, states, catalog, t, MISSING, act)
    for r in range(program.rings.shape[0] if act.item >= 0 else 0):
        if program.rings[r, p.RING_MASK] >> act.code & 1:
            ring, length = program.rings[r, p.RING_OFFSET], program.rings[r, p.RING_LENGTH]
            push(states.users, act.user, ring, length, catalog.item_keys[act.item], act.time)
    return late


@compiled
def _touch(program: Program, states: States, catalog: Lookups, t: int, value: int, act: Act) -> bool:
    """Apply the steps of target `t`, of an attribute's value where it has one."""
    scope, key = program.targets[t, p.TARGET_SCOPE], program.targets[t, p.TARGET_KEY]
    records, row, block = states.everything, 0, 0
    if scope == p.ITEM or (scope == p.QUERY and key == p.ITEM_KEY):
        records, row = states.items, act.item
    elif scope == p.VALUE or (scope == p.QUERY and key >= 0):
        records, row = states.values, value
    elif scope in (p.USER, p.SLOT, p.SESSION):
        records, row = states.users, act.user
    if scope == p.QUERY:
        cell = act.query % program.targets[t, p.TARGET_SLOTS]
        block = program.targets[t, p.TARGET_TABLE] + cell * program.targets[t, p.TARGET_WORDS]
    elif scope >= p.SLOT:
        whose = 0
        if key != p.ALONE:
            whose = catalog.value_keys[value] if key >= 0 else catalog.item_keys[act.item]
        if scope == p.SESSION:
            whose = in_session(whose, act.session)
        block = _block(program, states.users, act.user, t, whose)
    return _apply(program, catalog, t, records, row, block, act)


@compiled
def _block(program: Program, users: Ints, user: int, t: int, key: int) -> int:
    """Where the words of the key begin, in a slot of the user's table that is now touched."""
    table, slots = program.targets[t, p.TARGET_TABLE], program.targets[t, p.TARGET_SLOTS]
    words = program.targets[t, p.TARGET_WORDS]
    return int(table + 2 * slots + words * take_slot(users, user, table, slots, words, key))


@compiled
def _apply(program: Program, catalog: Lookups, t: int, records: Ints, row: int, block: int, act: Act) -> bool:
    late, time = False, act.time
    for s in range(program.targets[t, p.TARGET_FIRST], program.targets[t, p.TARGET_LAST]):
        if not program.steps[s, p.STEP_MASK] >> act.code & 1:
            continue
        at, op, arg = (
            block + program.steps[s, p.STEP_OFFSET],
            program.steps[s, p.STEP_OP],
            program.steps[s, p.STEP_ARG],
        )
        if op == p.LATEST:
            put(records, row, at, max(cell(records, row, at), time))
        elif op == p.FIRST:
            put(records, row, at, max(cell(records, row, at), p.LATER_THAN_ALL - time))
        elif op == p.LEARN:
            learn(records, row, at, program.rewards[act.code], program.step_values[s], arg, time)
        elif op == p.SUM:
            add_up(records, row, at, catalog.numbers[act.version, arg] if act.version >= 0 else np.nan)
        elif op == p.DISTINCT:
            late |= _remember(program, catalog, records, row, at, s, act)
        else:
            width, buckets = program.steps[s, p.STEP_WIDTH], program.steps[s, p.STEP_BUCKETS]
            amount = _amount(program, catalog, s, act)
            late |= not count(records, row, at, width, buckets, time, amount)
    return late


@compiled
def _amount(program: Program, catalog: Lookups, s: int, act: Act) -> int:
    """What step `s` adds: one, or the item's number, or the weight of its place in the list."""
    op, column = program.steps[s, p.STEP_OP], program.steps[s, p.STEP_ARG]
    if op == p.ADD:
        return 1
    if op == p.WEIGHT:
        weight = np.float64(act.place) ** -program.step_values[s] if act.place else 1.0
        return in_thousandths(weight)
    number = catalog.numbers[act.version, column] if act.version >= 0 else np.nan
    if op == p.AMOUNT:
        return in_thousandths(number)
    return 0 if np.isnan(number) else 1


@compiled
def _remember(program: Program, catalog: Lookups, records: Ints, row: int, at: int, s: int, act: Act) -> bool:
    """Put what the act is with into the sketch; whether it came too late."""
    width, buckets = program.steps[s, p.STEP_WIDTH], program.steps[s, p.STEP_BUCKETS]
    what, late = program.steps[s, p.STEP_ARG], False
    if what == OF_USERS:
        return not remember(records, row, at, width, buckets, act.time, act.user_key)
    if what == OF_ITEMS:
        if act.item < 0:
            return False
        return not remember(records, row, at, width, buckets, act.time, catalog.item_keys[act.item])
    first, last = values_of(catalog, what, act.version)
    for i in range(first, last):
        key = catalog.value_keys[catalog.value_rows[i]]
        late |= not remember(records, row, at, width, buckets, act.time, key)
    return late
