"""Which blocks of a user's table are taken, and by what: numbers in place of hashes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipelines.features import shapes as s
from pipelines.features.compiled import compiled
from pipelines.features.lookups import MISSING, row_in
from pipelines.features.program import Ints
from pipelines.features.shapes import Shape


class Numbered(NamedTuple):
    """Hashes of items and values by number, and an open-addressing index back; a power of two of places, key
    0 is free."""

    keys: Ints
    index_keys: Ints
    index_rows: Ints


@compiled
def number_of(numbered: Numbered, key: int) -> int:
    """The number of a hash; MISSING when it has none."""
    return int(row_in(numbered.index_keys, numbered.index_rows, key))


@compiled
def taken_blocks(words: Ints, numbered: Numbered, shape: Shape, i: int, numbers: Ints, places: Ints) -> int:
    """Fill in the numbers and slots of the blocks that are taken, by number where keys have one; how many.
    MISSING when a block that is free is not empty, or a key has no number of its own."""
    table, slots, block = shape.sections[i, s.AT], shape.sections[i, s.SIZE], shape.sections[i, s.BLOCK]
    count = 0
    for slot in range(slots):
        key = words[table + slot]
        if key == 0:
            rest = words[table + slots + slot]
            for word in range(table + 2 * slots + slot * block, table + 2 * slots + (slot + 1) * block):
                rest |= words[word]
            if rest != 0:
                return MISSING
            continue
        number, at = slot if shape.sections[i, s.KIND] == s.KEYS else number_of(numbered, key), count
        while at > 0 and numbers[at - 1] > number:
            numbers[at], places[at] = numbers[at - 1], places[at - 1]
            at -= 1
        if number == MISSING or (at > 0 and numbers[at - 1] == number):
            return MISSING
        numbers[at], places[at] = number, slot
        count += 1
    return count


@compiled
def shortest(numbers: Ints, count: int) -> int:
    """How many bits of each gap are written as they are, so that all take the fewest."""
    best, least = 0, np.int64(1) << 62
    for low in range(32):
        total, before = np.int64(0), -1
        for i in range(count):
            total += ((numbers[i] - before - 1) >> low) + 1 + low
            before = numbers[i]
        if total >= least:
            break
        best, least = low, total
    return best
