"""Kernels that compute features of all candidates of a list from numbers that the records keep."""

from __future__ import annotations

import numpy as np

from pipelines.features import program as p
from pipelines.features.compiled import compiled
from pipelines.features.lookups import MISSING, Lookups, jaccard, row_of, version_at
from pipelines.features.program import Floats, Ints, Program, States
from pipelines.features.records import count_in_buckets, find_slot


@compiled
def given(
    program: Program, catalog: Lookups, versions: Ints, positions: Ints, as_of: int, f: int, features: Floats
) -> None:
    """Fill column `f` from the request and the catalog: a number of the item, its position, the time."""
    op, column = program.features[f, p.FEATURE_OP], program.features[f, p.FEATURE_ARG]
    cycle = program.feature_values[f]
    for j in range(versions.size):
        if op == p.NUMBER:
            features[j, f] = catalog.numbers[versions[j], column] if versions[j] != MISSING else np.nan
        elif op == p.POSITION:
            features[j, f] = positions[j]
        else:
            angle = 2.0 * np.pi * (as_of % np.int64(cycle)) / cycle
            is_sine = program.features[f, p.FEATURE_AGGREGATE] == p.SINE
            features[j, f] = np.sin(angle) if is_sine else np.cos(angle)


@compiled
def by_record(
    program: Program,
    states: States,
    catalog: Lookups,
    user: int,
    items: Ints,
    versions: Ints,
    as_of: int,
    f: int,
    n: Floats,
    features: Floats,
) -> None:
    """Fill column `f`, and the next ones that only differ in how they aggregate; `n` is room for numbers."""
    scope, key = program.features[f, p.FEATURE_SCOPE], program.features[f, p.FEATURE_KEY]
    of_values = scope == p.VALUE or (scope == p.SLOT and key != p.ITEM_KEY)
    changed = p.EVERYTHING
    for j in range(items.size):
        first, last, whose = 0, 1, catalog.item_keys[items[j]]
        if of_values:
            known = versions[j] != MISSING
            first = catalog.value_starts[key, versions[j]] if known else 0
            last = catalog.value_starts[key, versions[j] + 1] if known else 0
        total, largest, smallest, found = 0.0, -np.inf, np.inf, 0
        for at in range(first, last):
            value = MISSING
            if of_values:
                value = catalog.value_rows[at]
                whose = catalog.value_keys[value]
            _look_up(program, states, user, items[j], value, whose, f, as_of, changed, n)
            changed = p.VALUE
            one = _formula(program, f, as_of, n)
            if not np.isnan(one):
                total, largest, smallest, found = (
                    total + one,
                    max(largest, one),
                    min(smallest, one),
                    found + 1,
                )
        for g in range(f, f + program.features[f, p.FEATURE_SHARE]):
            how = program.features[g, p.FEATURE_AGGREGATE]
            features[j, g] = aggregated(how, total, largest, smallest, found)
        changed = min(changed, p.ITEM)


@compiled
def aggregated(how: int, total: float, largest: float, smallest: float, found: int) -> float:
    """The chosen one of mean, max, min and sum of `found` numbers; NaN of none."""
    if found == 0:
        return np.nan
    if how == p.MEAN:
        return total / found
    if how == p.MAX:
        return largest
    return smallest if how == p.MIN else total


@compiled
def _look_up(
    program: Program,
    states: States,
    user: int,
    item: int,
    value: int,
    whose: int,
    f: int,
    as_of: int,
    changed: int,
    n: Floats,
) -> None:
    """Fill `n` with what the feature needs; numbers of scopes before `changed` are there already."""
    window, t = program.features[f, p.FEATURE_BUCKETS], program.features[f, p.FEATURE_TARGET]
    table, slots = program.targets[t, p.TARGET_TABLE], program.targets[t, p.TARGET_SLOTS]
    slot = find_slot(states.users, user, table, slots, whose) if slots else MISSING
    for i in range(p.MAX_STEPS):
        s = program.features[f, p.FEATURE_STEPS + i]
        if s == p.NO_STEP:
            break
        scope, op = program.steps[s, p.STEP_SCOPE], program.steps[s, p.STEP_OP]
        if scope < changed:
            continue
        records, row, at = states.everything, 0, program.steps[s, p.STEP_OFFSET]
        if scope == p.ITEM:
            records, row = states.items, item
        elif scope == p.VALUE:
            records, row = states.values, value
        elif scope != p.EVERYTHING:
            records, row = states.users, user
        if scope == p.SLOT:
            if slot == MISSING:
                n[i] = np.nan if op == p.LEARN else 0.0
                continue
            at += table + 2 * slots + slot * program.targets[t, p.TARGET_WORDS]
        width = program.steps[s, p.STEP_WIDTH]
        if op == p.LEARN:
            n[i] = records.view(np.float64)[row, at + 1]
        elif width:
            n[i] = count_in_buckets(
                records, row, at, program.steps[s, p.STEP_BUCKETS], as_of // width, window
            )
        else:
            n[i] = records[row, at]


@compiled
def _formula(program: Program, f: int, as_of: int, n: Floats) -> float:
    op, smooth = program.features[f, p.FEATURE_OP], program.feature_values[f]
    if op == p.COUNT:
        return float(np.log1p(n[0]) if program.features[f, p.FEATURE_LOG] else n[0])
    if op == p.RATE:
        return _rate(n[0], n[1], n[2] / n[3], smooth)
    if op == p.PREFERENCE:
        overall = n[6] / n[7]
        expected = _rate(n[2], n[3], overall, smooth) * _rate(n[4], n[5], overall, smooth) / overall
        return float(_rate(n[0], n[1], expected, smooth) - expected)
    if op == p.RECENCY:
        return float(np.log1p(max(as_of - n[0], 0.0) / 1000.0)) if n[0] else np.nan
    return float(n[0])


@compiled
def _rate(part: float, whole: float, prior: float, smooth: float) -> float:
    return (part + smooth * prior) / (whole + smooth) if smooth else part / whole


@compiled
def tastes(
    program: Program, states: States, catalog: Lookups, user: int, versions: Ints, f: int, features: Floats
) -> None:
    """Fill column `f`: the candidates' number against the mean over what the user liked."""
    kept = states.users.view(np.float64)
    column, smooth = program.features[f, p.FEATURE_ARG], program.feature_values[f]
    liked = program.steps[program.features[f, p.FEATURE_STEPS], p.STEP_OFFSET]
    seen = program.steps[program.features[f, p.FEATURE_STEPS + 1], p.STEP_OFFSET]
    usual = (
        kept[user, seen + 1] / kept[user, seen]
        if kept[user, seen]
        else kept[user, liked + 1] / kept[user, liked]
    )
    wanted = _rate(kept[user, liked + 1], kept[user, liked], usual, smooth)
    measure = program.features[f, p.FEATURE_AGGREGATE]
    for j in range(versions.size):
        difference = catalog.numbers[versions[j], column] - wanted if versions[j] != MISSING else np.nan
        if measure == p.LEAN:
            features[j, f] = wanted - usual
        else:
            features[j, f] = abs(difference) if measure == p.DISTANCE else difference


@compiled
def similarities(
    program: Program,
    states: States,
    catalog: Lookups,
    user: int,
    versions: Ints,
    as_of: int,
    f: int,
    features: Floats,
) -> None:
    """Fill column `f`, and the next ones that only differ in how they aggregate, over the latest items."""
    attribute, last = program.features[f, p.FEATURE_KEY], program.features[f, p.FEATURE_BUCKETS]
    ring = program.features[f, p.FEATURE_ARG]
    at, length = program.rings[ring, p.RING_OFFSET], program.rings[ring, p.RING_LENGTH]
    count = min(states.users[user, at], last)
    others = np.empty(count, np.int64)
    for back in range(count):
        key = states.users[user, at + 1 + (states.users[user, at] - 1 - back) % length]
        others[back] = version_at(catalog, row_of(catalog, key), as_of)
    for j in range(versions.size):
        total, largest, smallest, found = 0.0, -np.inf, np.inf, 0
        for other in others:
            if other == MISSING or versions[j] == MISSING:
                continue
            one = jaccard(catalog, attribute, versions[j], other)
            if not np.isnan(one):
                total, largest, smallest, found = (
                    total + one,
                    max(largest, one),
                    min(smallest, one),
                    found + 1,
                )
        for g in range(f, f + program.features[f, p.FEATURE_SHARE]):
            features[j, g] = aggregated(
                program.features[g, p.FEATURE_AGGREGATE], total, largest, smallest, found
            )


@compiled
def in_list(features: Floats, of: int, measure: int, f: int) -> None:
    """Fill column `f`: column `of` against its mean, deviation or order within the list."""
    known, mean, square = 0, 0.0, 0.0
    for j in range(features.shape[0]):
        if not np.isnan(features[j, of]):
            known += 1
            step = features[j, of] - mean
            mean += step / known
            square += step * (features[j, of] - mean)
    deviation = np.sqrt(square / known)
    for j in range(features.shape[0]):
        away = features[j, of] - mean if known else np.nan
        if measure == p.LIST_MEAN:
            features[j, f] = mean if known else np.nan
        elif measure == p.LIST_STD:
            features[j, f] = deviation
        elif measure == p.LIST_RANK:
            features[j, f] = _rank(features, j, of)
        else:
            scale = deviation if measure == p.LIST_ZSCORE and deviation > 0.0 else 1.0
            features[j, f] = away / scale


@compiled
def _rank(features: Floats, j: int, of: int) -> float:
    """1 for the largest value of the column; NaN for a missing one."""
    larger = 0
    for other in range(features.shape[0]):
        larger += features[other, of] > features[j, of]
    return np.nan if np.isnan(features[j, of]) else larger + 1.0
