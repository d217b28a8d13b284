"""Kernels on vectors of items: likeness to what the user did, to a query, and what goes with what.

Vectors belong to a model and never change while it lives: records hold item hashes only. Sums run in double
precision and in one order, so that every carrier gets the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.features import program as p
from pipelines.features.abreast import ABREAST, LANES, dots
from pipelines.features.compiled import compiled
from pipelines.features.lookups import MISSING, Lookups, latest_rows
from pipelines.features.program import Floats, Ints, Program, States

TEXT, BEHAVIOUR, IMAGE = range(3)
SPACES = 3
BM25, COSINE_OF_TEXT = range(2)
TERM_LIMIT, LENGTH_SHARE = 1.2, 0.75  # k1 and b of BM25 (Robertson and Zaragoza 2009)


class Spaces(NamedTuple):
    """The vectors as the kernels take them: `vectors.Vectors`, with rows for the catalog's items."""

    rows: Ints  # [n_items of the catalog]: row of the item's vectors, MISSING for none
    blocks: Ints  # [n_blocks]: ms from which each block holds, ascending
    starts: Ints  # [SPACES, n_blocks]: where the space's vectors of a block begin in `values`
    sizes: Ints  # [SPACES]: numbers of a vector, a multiple of LANES
    values: npt.NDArray[np.float32]  # row after row; all zeros for an item without a vector
    term_keys: Ints
    term_idf: npt.NDArray[np.float32]
    term_vectors: npt.NDArray[np.float32]
    count_starts: Ints
    count_terms: Ints
    counts: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.float32]
    pair_starts: Ints
    pair_items: Ints
    pair_scores: npt.NDArray[np.float32]


@compiled
def block_at(spaces: Spaces, as_of: int) -> int:
    """The block that holds at `as_of`: the last one that began by then."""
    block = 0
    while block + 1 < spaces.blocks.size and spaces.blocks[block + 1] <= as_of:
        block += 1
    return block


@compiled
def vector_place(spaces: Spaces, space: int, block: int, row: int) -> int:
    """Where the row's vector begins in `values`; MISSING when it has none."""
    size = spaces.sizes[space]
    if row == MISSING:
        return MISSING
    at = spaces.starts[space, block] + row * size
    for k in range(at, at + size):
        if spaces.values[k] != 0.0:
            return int(at)
    return MISSING


@compiled
def dot(one: npt.NDArray[np.float32], other: Floats) -> float:
    """Product of two vectors, whose size is a multiple of LANES: each lane is summed on its own, which lets
    the processor work on several at once, in an order that never changes."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for k in range(0, other.size, LANES):
        at = np.uint64(k)
        a += one[at] * other[at]
        b += one[at + np.uint64(1)] * other[at + np.uint64(1)]
        c += one[at + np.uint64(2)] * other[at + np.uint64(2)]
        d += one[at + np.uint64(3)] * other[at + np.uint64(3)]
    return (a + c) + (b + d)


@compiled
def to_latest(
    spaces: Spaces,
    space: int,
    block: int,
    rows: Ints,
    latest: Ints,
    wants_largest: bool,
    mean: Floats,
    largest: Floats,
) -> None:
    """Of each candidate (a row) its cosine with the mean of the latest items' vectors and, where wanted, its
    largest cosine with one of them; NaN without a vector on either side."""
    size, found = spaces.sizes[space], 0
    profile, norm = np.zeros(size), 0.0
    others = np.zeros((-(-latest.size // ABREAST), size, ABREAST))
    for row in latest:
        at = vector_place(spaces, space, block, row)
        if at != MISSING:
            part, place = found // ABREAST, found % ABREAST
            for k in range(size):
                others[part, k, place] = spaces.values[at + k]
                profile[k] += others[part, k, place]
            found += 1
    for k in range(size):
        norm += profile[k] * profile[k]
    norm, products = np.sqrt(norm), np.empty(ABREAST)
    for j in range(rows.size):
        at = vector_place(spaces, space, block, rows[j])
        mean[j] = largest[j] = np.nan
        if at == MISSING or not found:
            continue
        own = spaces.values[at : at + size]
        mean[j] = dot(own, profile) / norm if norm > 0.0 else 0.0
        most = -np.inf
        for first in range(0, found if wants_largest else 0, ABREAST):
            dots(spaces.values, at, others, first // ABREAST, products)
            for i in range(min(found - first, ABREAST)):
                most = max(most, products[i])
        largest[j] = most


@compiled
def found_at(keys: Ints, first: int, last: int, key: int | np.int64) -> int:
    """Where `key` stands in the ascending keys[first:last], MISSING when it does not."""
    end = last
    while first < end:
        middle = (first + end) // 2
        if keys[middle] < key:
            first = middle + 1
        else:
            end = middle
    return first if first < last and keys[first] == key else MISSING


@compiled
def bm25(spaces: Spaces, rows: Ints, query: Ints, scores: Floats) -> None:
    """BM25 of each candidate's texts for the terms of the query; NaN without a query, or for an item without
    text."""
    terms = np.empty(query.size, np.int64)
    for q in range(query.size):
        terms[q] = found_at(spaces.term_keys, 0, spaces.term_keys.size, query[q])
    for j in range(rows.size):
        row, scores[j] = rows[j], np.nan
        if row == MISSING or not query.size:
            continue
        first, last = spaces.count_starts[row], spaces.count_starts[row + 1]
        if first == last:
            continue
        total = 0.0
        damping = TERM_LIMIT * (1.0 - LENGTH_SHARE + LENGTH_SHARE * spaces.lengths[row])
        for term in terms:
            at = found_at(spaces.count_terms, first, last, term) if term != MISSING else MISSING
            if at != MISSING:
                count = np.float64(spaces.counts[at])
                total += spaces.term_idf[term] * count * (TERM_LIMIT + 1.0) / (count + damping)
        scores[j] = total


@compiled
def query_cosine(spaces: Spaces, rows: Ints, query: Ints, scores: Floats) -> None:
    """Cosine of each candidate's text vector and the query's; NaN where one has none."""
    size = spaces.sizes[TEXT]
    wanted, norm = np.zeros(size), 0.0
    for key in query:
        term = found_at(spaces.term_keys, 0, spaces.term_keys.size, key)
        for k in range(spaces.term_vectors.shape[1] if term != MISSING else 0):
            wanted[k] += spaces.term_vectors[term, k]
    for k in range(size):
        norm += wanted[k] * wanted[k]
    norm = np.sqrt(norm)
    for j in range(rows.size):
        at, scores[j] = vector_place(spaces, TEXT, 0, rows[j]), np.nan
        if at != MISSING and norm > 0.0:
            scores[j] = dot(spaces.values[at : at + size], wanted) / norm


@compiled
def neighbours(spaces: Spaces, block: int, rows: Ints, latest: Ints, total: Floats, largest: Floats) -> None:
    """Of each candidate the sum, and the largest, of what the latest items say of it as their neighbour: 0
    where they say nothing; NaN without a latest item that has neighbours."""
    starts, known = spaces.pair_starts, 0
    for row in latest:
        known += row != MISSING and starts[block, row] < starts[block, row + 1]
    for j in range(rows.size):
        total[j] = largest[j] = np.nan
        if rows[j] == MISSING or not known:
            continue
        total[j], largest[j] = 0.0, -np.inf
        for row in latest:
            if row == MISSING or starts[block, row] == starts[block, row + 1]:
                continue
            at = found_at(spaces.pair_items, starts[block, row], starts[block, row + 1], rows[j])
            score = np.float64(spaces.pair_scores[at]) if at != MISSING else 0.0
            total[j] += score
            largest[j] = max(largest[j], score)


@compiled
def vector_rows(spaces: Spaces, items: Ints) -> Ints:
    """The rows of the items' vectors, MISSING for an item that the vectors do not know."""
    rows = np.empty(items.size, np.int64)
    for j in range(items.size):
        rows[j] = spaces.rows[items[j]] if items[j] >= 0 else MISSING
    return rows


@compiled
def alone(
    program: Program, spaces: Spaces, items: Ints, query: Ints, as_of: int, f: int, features: Floats
) -> None:
    """Fill column `f` with what depends on the candidate and the query: text match, or whether there is a
    vector."""
    rows = vector_rows(spaces, items)
    if program.features[f, p.FEATURE_OP] == p.HAS_VECTOR:
        space, block = program.features[f, p.FEATURE_KEY], block_at(spaces, as_of)
        for j in range(rows.size):
            features[j, f] = vector_place(spaces, space, block, rows[j]) != MISSING
    elif program.features[f, p.FEATURE_AGGREGATE] == BM25:
        bm25(spaces, rows, query, features[:, f])
    else:
        query_cosine(spaces, rows, query, features[:, f])


@compiled
def beside_latest(
    program: Program,
    states: States,
    catalog: Lookups,
    spaces: Spaces,
    user: int,
    items: Ints,
    as_of: int,
    f: int,
    features: Floats,
) -> None:
    """Fill column `f`, and the next ones that only differ in how they aggregate: the candidates beside the
    user's latest items."""
    latest = latest_rows(program, states, catalog, user, f)
    rows, known = vector_rows(spaces, items), vector_rows(spaces, latest)
    block, one, largest = block_at(spaces, as_of), np.empty(items.size), np.empty(items.size)
    if program.features[f, p.FEATURE_OP] == p.COVISITED:
        neighbours(spaces, block, rows, known, one, largest)
    else:
        space, wants_largest = program.features[f, p.FEATURE_KEY], False
        for g in range(f, f + program.features[f, p.FEATURE_SHARE]):
            wants_largest |= program.features[g, p.FEATURE_AGGREGATE] == p.MAX
        to_latest(spaces, space, block, rows, known, wants_largest, one, largest)
    for g in range(f, f + program.features[f, p.FEATURE_SHARE]):
        for j in range(items.size):
            is_largest = program.features[g, p.FEATURE_AGGREGATE] == p.MAX
            features[j, g] = largest[j] if is_largest else one[j]
