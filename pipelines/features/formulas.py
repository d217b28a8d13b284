"""The kernel that reads features of candidates from what records keep; the families have the formulas."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.features import program as p
from pipelines.features.arithmetic import aggregated
from pipelines.features.cells import cell
from pipelines.features.compiled import compiled
from pipelines.features.entries import Entries, enter, entries_for
from pipelines.features.kinds.amounts import added_up, different
from pipelines.features.kinds.counters import counted
from pipelines.features.kinds.preferences import learnt, preferred
from pipelines.features.kinds.session import in_session
from pipelines.features.lookups import MISSING, Lookups, values_of
from pipelines.features.program import Floats, Ints, Program, States
from pipelines.features.records import count_in_buckets, find_slot


class Asked(NamedTuple):
    """Who asks, and when."""

    user: int  # row of the user's record
    session: int  # number of the user's session, 0 for a new one
    query: int  # hash of the query, 0 without one
    as_of: int  # ms


class Room(NamedTuple):
    """Room to work in, for all features of one reading."""

    entries: Entries
    blocks: Ints  # [targets, most]: where an entry's words begin in the target's table, MISSING for none
    looked_up: npt.NDArray[np.bool_]  # [targets]: whether that is known
    numbers: Floats  # [MAX_STEPS, most]
    values: Floats  # [most]: the feature's value of each entry


class Step(NamedTuple):
    """A step of the program, as it is read at a moment."""

    op: int
    arg: int
    width: int
    buckets: int
    window: int  # in buckets
    bucket: int  # of the moment
    place: int  # of that bucket in the ring


@compiled
def room_for(program: Program, catalog: Lookups, versions: Ints) -> Room:
    """Enough room to read features of candidates with these versions."""
    entries, targets = entries_for(catalog, versions), program.targets.shape[0]
    most = entries.rows.shape[1]
    return Room(
        entries,
        np.empty((targets, most), np.int64),
        np.zeros(targets, np.bool_),
        np.empty((p.MAX_STEPS, most), np.float64),
        np.empty(most, np.float64),
    )


@compiled
def by_record(
    program: Program,
    states: States,
    catalog: Lookups,
    asked: Asked,
    items: Ints,
    versions: Ints,
    f: int,
    room: Room,
    features: Floats,
) -> None:
    """Fill column `f`, and the next ones that only differ in how they aggregate."""
    kind = _kind(program, catalog, f)
    enter(catalog, items, versions, kind, room.entries)
    t, steps, count = program.features[f, p.FEATURE_TARGET], 0, room.entries.counts[kind]
    if program.features[f, p.FEATURE_SCOPE] >= p.SLOT and not room.looked_up[t]:
        _find_blocks(program, states, asked, f, kind, room)
        room.looked_up[t] = True
    while steps < p.MAX_STEPS and program.features[f, p.FEATURE_STEPS + steps] != p.NO_STEP:
        _gather(program, states, catalog, asked, versions, f, steps, kind, room)
        steps += 1
    _formula(program, f, asked.as_of, room.numbers, count, room.values)
    _aggregate(program, f, kind, room, features)


@compiled
def _aggregate(program: Program, f: int, kind: int, room: Room, features: Floats) -> None:
    """Fill column `f`, and those that share its numbers, from the values of the candidates' entries."""
    share, entries, values = program.features[f, p.FEATURE_SHARE], room.entries, room.values
    items = entries.counts.size - 2  # the kind behind the attributes
    if kind >= items:  # one number of each candidate, or the same of all
        own = kind == items
        for g in range(f, f + share):
            is_sum = program.features[g, p.FEATURE_AGGREGATE] in (p.MEAN, p.TOTAL)
            for j in range(features.shape[0]):
                one = values[np.uint64(j)] if own else values[0]
                features[j, g] = 0.0 + one if is_sum else one  # a sum has no negative zero
        return
    for j in range(features.shape[0]):
        total, largest, smallest, found = 0.0, -np.inf, np.inf, 0
        for at in range(entries.starts[kind, j], entries.starts[kind, j + 1]):
            one = room.values[entries.links[kind, at]]
            if not np.isnan(one):
                total += one
                largest, smallest, found = max(largest, one), min(smallest, one), found + 1
        for g in range(f, f + share):
            how = program.features[g, p.FEATURE_AGGREGATE]
            features[j, g] = aggregated(how, total, largest, smallest, found)


@compiled
def _kind(program: Program, catalog: Lookups, f: int) -> int:
    """Which of the entries the feature has numbers of."""
    scope, key = program.features[f, p.FEATURE_SCOPE], program.features[f, p.FEATURE_KEY]
    attributes = catalog.value_starts.shape[0]
    if scope == p.VALUE or (scope >= p.SLOT and key >= 0):
        return int(key)
    if scope == p.ITEM or (scope >= p.SLOT and key == p.ITEM_KEY):
        return int(attributes)
    return int(attributes + 1)


@compiled
def _find_blocks(program: Program, states: States, asked: Asked, f: int, kind: int, room: Room) -> None:
    """Find the entries in the table that the feature looks into."""
    t = program.features[f, p.FEATURE_TARGET]
    scope, key = program.features[f, p.FEATURE_SCOPE], program.features[f, p.FEATURE_KEY]
    table, slots = program.targets[t, p.TARGET_TABLE], program.targets[t, p.TARGET_SLOTS]
    words = program.targets[t, p.TARGET_WORDS]
    nowhere = (scope == p.QUERY and asked.query == 0) or (scope == p.SESSION and asked.session == 0)
    for e in range(room.entries.counts[kind]):
        if nowhere:
            room.blocks[t, e] = MISSING
        elif scope == p.QUERY:
            room.blocks[t, e] = table + asked.query % slots * words
        else:
            wanted = room.entries.keys[kind, e] if key != p.ALONE else 0
            if scope == p.SESSION:
                wanted = in_session(wanted, asked.session)
            slot = find_slot(states.users, asked.user, table, slots, wanted)
            room.blocks[t, e] = table + 2 * slots + slot * words if slot != MISSING else MISSING


@compiled
def _gather(
    program: Program,
    states: States,
    catalog: Lookups,
    asked: Asked,
    versions: Ints,
    f: int,
    i: int,
    kind: int,
    room: Room,
) -> None:
    """Fill `room.numbers[i]` with what step `i` of the feature keeps, for each entry."""
    s, t = program.features[f, p.FEATURE_STEPS + i], program.features[f, p.FEATURE_TARGET]
    scope, key, at = (
        program.steps[s, p.STEP_SCOPE],
        program.steps[s, p.STEP_KEY],
        program.steps[s, p.STEP_OFFSET],
    )
    step, count = _step(program, s, f, i, asked.as_of), room.entries.counts[kind]
    records, row = states.users, asked.user  # of all entries; MISSING where each has its own
    if scope == p.ITEM or (scope == p.QUERY and key == p.ITEM_KEY):
        records, row = states.items, MISSING
    elif scope == p.VALUE or (scope == p.QUERY and key >= 0):
        records, row = states.values, MISSING
    elif scope in (p.EVERYTHING, p.QUERY):
        records, row = states.everything, 0
    if scope in (p.EVERYTHING, p.USER):
        room.numbers[i, :count] = _stored(records, row, at, step, asked.as_of)
    elif scope == p.VALUE and kind >= catalog.value_starts.shape[0]:
        for j in range(versions.size):
            room.numbers[i, j] = _pooled(catalog, records, versions[j], key, at, step, asked.as_of)
    else:
        unknown = np.nan if step.op == p.LEARN or scope == p.QUERY else 0.0
        for e in range(count):
            block = room.blocks[t, e] if scope >= p.SLOT else 0
            own = room.entries.rows[kind, e] if row == MISSING else row
            found = _stored(records, own, at + block, step, asked.as_of) if block != MISSING else unknown
            room.numbers[i, e] = found


@compiled
def _step(program: Program, s: int, f: int, i: int, as_of: int) -> Step:
    """Step `s`, which is number `i` of the feature."""
    longer = i > 0 and program.features[f, p.FEATURE_OP] == p.TREND
    window = program.features[f, p.FEATURE_ARG if longer else p.FEATURE_BUCKETS]
    op, arg, width = program.steps[s, p.STEP_OP], program.steps[s, p.STEP_ARG], program.steps[s, p.STEP_WIDTH]
    buckets, bucket = program.steps[s, p.STEP_BUCKETS], as_of // width if width else 0
    return Step(op, arg, width, buckets, window, bucket, bucket % buckets if width else 0)


@compiled
def _stored(records: Ints, row: int, at: int, step: Step, as_of: int) -> float:
    """What the step keeps at word `at` of the record, as of a moment."""
    if step.op == p.LEARN:
        return learnt(records, row, at, step.arg, as_of)
    if step.op == p.DISTINCT:
        return different(records, row, at, step.width, step.buckets, step.window, as_of)
    if step.width:
        found = count_in_buckets(records, row, at, step.buckets, step.bucket, step.place, step.window)
    else:
        found = cell(records, row, at)
    if step.op == p.FIRST:
        return float(p.LATER_THAN_ALL - found) if found else 0.0
    return found / p.FIXED_POINT if step.op in (p.AMOUNT, p.WEIGHT) else float(found)


@compiled
def _pooled(
    catalog: Lookups, values: Ints, version: int, attribute: int, at: int, step: Step, as_of: int
) -> float:
    """The step's numbers of all values of the version's attribute together."""
    total = 0.0
    first, last = values_of(catalog, attribute, version)
    for value in range(first, last):
        total += _stored(values, catalog.value_rows[value], at, step, as_of)
    return total


@compiled
def _formula(program: Program, f: int, as_of: int, n: Floats, count: int, values: Floats) -> None:
    """Fill values[:count] from the numbers n[:, :count] of the entries."""
    op = program.features[f, p.FEATURE_OP]
    if op in (p.COUNT, p.RATE, p.RECENCY, p.IS_NEW, p.TREND):
        counted(program, f, as_of, n, count, values)
    elif op in (p.SUM_OF, p.MEAN_OF, p.DISTINCT_OF):
        added_up(program, f, n, count, values)
    elif op == p.PREFERENCE:
        preferred(n, program.feature_values[f], count, values)
    else:
        for e in range(count):
            values[e] = n[0, e]
