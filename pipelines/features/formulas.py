"""The kernel that reads features of candidates from what records keep; the families have the formulas."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.features import program as p
from pipelines.features.arithmetic import aggregated
from pipelines.features.compiled import compiled
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

    ends: Ints  # [candidates + 1]: a candidate's entries are ends[j]:ends[j + 1]
    rows: Ints  # [entries]: row of the item or of the attribute value
    keys: Ints  # [entries]: its hash
    blocks: Ints  # [targets, entries]: where its words begin in the target's table, MISSING for none
    looked_up: npt.NDArray[np.bool_]  # [targets]: whether that is known
    numbers: Floats  # [MAX_STEPS, entries]
    n: Floats  # [MAX_STEPS]: the numbers of one entry


class Step(NamedTuple):
    """A step of the program, as it is read at a moment."""

    op: int
    arg: int
    width: int
    buckets: int
    window: int  # in buckets
    bucket: int  # of the moment


@compiled
def room_for(program: Program, catalog: Lookups, versions: Ints) -> Room:
    """Enough room to read features of candidates with these versions."""
    most = versions.size
    for key in range(catalog.value_starts.shape[0]):
        entries = 0
        for version in versions:
            first, last = values_of(catalog, key, version)
            entries += last - first
        most = max(most, entries)
    targets = program.targets.shape[0]
    return Room(
        np.empty(versions.size + 1, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty((targets, most), np.int64),
        np.zeros(targets, np.bool_),
        np.empty((p.MAX_STEPS, most), np.float64),
        np.empty(p.MAX_STEPS, np.float64),
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
    _enter(program, catalog, items, versions, f, room)
    t, steps = program.features[f, p.FEATURE_TARGET], 0
    if program.features[f, p.FEATURE_SCOPE] >= p.SLOT and not room.looked_up[t]:
        _find_blocks(program, states, asked, f, room)
        room.looked_up[t] = True
    while steps < p.MAX_STEPS and program.features[f, p.FEATURE_STEPS + steps] != p.NO_STEP:
        _gather(program, states, catalog, asked, versions, f, steps, room)
        steps += 1
    share = program.features[f, p.FEATURE_SHARE]
    for j in range(items.size):
        total, largest, smallest, found = 0.0, -np.inf, np.inf, 0
        for e in range(room.ends[j], room.ends[j + 1]):
            for i in range(steps):
                room.n[i] = room.numbers[i, e]
            one = _formula(program, f, asked.as_of, room.n)
            if not np.isnan(one):
                total += one
                largest, smallest, found = max(largest, one), min(smallest, one), found + 1
        for g in range(f, f + share):
            how = program.features[g, p.FEATURE_AGGREGATE]
            features[j, g] = aggregated(how, total, largest, smallest, found)


@compiled
def _of_values(program: Program, f: int) -> bool:
    """Whether the feature has a number of each value of a candidate, not one of the candidate itself."""
    scope, key = program.features[f, p.FEATURE_SCOPE], program.features[f, p.FEATURE_KEY]
    return bool(scope == p.VALUE or (scope >= p.SLOT and key >= 0))


@compiled
def _enter(program: Program, catalog: Lookups, items: Ints, versions: Ints, f: int, room: Room) -> None:
    """Name the entries: what the feature has one number of."""
    key, of_values, e = program.features[f, p.FEATURE_KEY], _of_values(program, f), 0
    for j in range(items.size):
        room.ends[j] = e
        if not of_values:
            room.rows[e], room.keys[e] = items[j], catalog.item_keys[items[j]]
            e += 1
            continue
        first, last = values_of(catalog, key, versions[j])
        for at in range(first, last):
            room.rows[e] = catalog.value_rows[at]
            room.keys[e] = catalog.value_keys[room.rows[e]]
            e += 1
    room.ends[items.size] = e


@compiled
def _find_blocks(program: Program, states: States, asked: Asked, f: int, room: Room) -> None:
    """Find the entries in the table that the feature looks into."""
    t = program.features[f, p.FEATURE_TARGET]
    scope, key = program.features[f, p.FEATURE_SCOPE], program.features[f, p.FEATURE_KEY]
    table, slots = program.targets[t, p.TARGET_TABLE], program.targets[t, p.TARGET_SLOTS]
    words = program.targets[t, p.TARGET_WORDS]
    nowhere = (scope == p.QUERY and asked.query == 0) or (scope == p.SESSION and asked.session == 0)
    for e in range(room.ends[-1]):
        if nowhere:
            room.blocks[t, e] = MISSING
        elif scope == p.QUERY:
            room.blocks[t, e] = table + asked.query % slots * words
        else:
            wanted = room.keys[e] if key != p.ALONE else 0
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
    room: Room,
) -> None:
    """Fill `room.numbers[i]` with what step `i` of the feature keeps, for each entry."""
    s, t = program.features[f, p.FEATURE_STEPS + i], program.features[f, p.FEATURE_TARGET]
    scope, key, at = (
        program.steps[s, p.STEP_SCOPE],
        program.steps[s, p.STEP_KEY],
        program.steps[s, p.STEP_OFFSET],
    )
    step, count = _step(program, s, f, i, asked.as_of), room.ends[-1]
    records, row = states.users, asked.user  # of all entries; MISSING where each has its own
    if scope == p.ITEM or (scope == p.QUERY and key == p.ITEM_KEY):
        records, row = states.items, MISSING
    elif scope == p.VALUE or (scope == p.QUERY and key >= 0):
        records, row = states.values, MISSING
    elif scope in (p.EVERYTHING, p.QUERY):
        records, row = states.everything, 0
    if scope in (p.EVERYTHING, p.USER):
        room.numbers[i, :count] = _stored(records, row, at, step, asked.as_of)
    elif scope == p.VALUE and not _of_values(program, f):
        for j in range(versions.size):
            room.numbers[i, j] = _pooled(catalog, records, versions[j], key, at, step, asked.as_of)
    else:
        unknown = np.nan if step.op == p.LEARN or scope == p.QUERY else 0.0
        for e in range(count):
            block = room.blocks[t, e] if scope >= p.SLOT else 0
            own = room.rows[e] if row == MISSING else row
            found = _stored(records, own, at + block, step, asked.as_of) if block != MISSING else unknown
            room.numbers[i, e] = found


@compiled
def _step(program: Program, s: int, f: int, i: int, as_of: int) -> Step:
    """Step `s`, which is number `i` of the feature."""
    longer = i > 0 and program.features[f, p.FEATURE_OP] == p.TREND
    window = program.features[f, p.FEATURE_ARG if longer else p.FEATURE_BUCKETS]
    op, arg, width = program.steps[s, p.STEP_OP], program.steps[s, p.STEP_ARG], program.steps[s, p.STEP_WIDTH]
    return Step(op, arg, width, program.steps[s, p.STEP_BUCKETS], window, as_of // width if width else 0)


@compiled
def _stored(records: Ints, row: int, at: int, step: Step, as_of: int) -> float:
    """What the step keeps at word `at` of the record, as of a moment."""
    if step.op == p.LEARN:
        return learnt(records.view(np.float64), row, at, step.arg, as_of)
    if step.op == p.DISTINCT:
        return different(records, row, at, step.width, step.buckets, step.window, as_of)
    found = records[row, at]
    if step.width:
        found = count_in_buckets(records, row, at, step.buckets, step.bucket, step.window)
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
def _formula(program: Program, f: int, as_of: int, n: Floats) -> float:
    op = program.features[f, p.FEATURE_OP]
    if op in (p.COUNT, p.RATE, p.RECENCY, p.IS_NEW, p.TREND):
        return float(counted(program, f, as_of, n))
    if op in (p.SUM_OF, p.MEAN_OF, p.DISTINCT_OF):
        return float(added_up(program, f, n))
    return float(preferred(program, f, n) if op == p.PREFERENCE else n[0])
