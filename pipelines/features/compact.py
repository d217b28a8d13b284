"""A user's record in few bytes, and back: words that are zero cost nothing, items and values are numbers in
place of their hashes, times and floats that were met before in the record are named by how long ago.

One kernel writes and reads. A record that it cannot give back word by word is refused when it is written.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipelines.features import shapes as s
from pipelines.features.bits import bits, gamma, length, rice, signed, wide
from pipelines.features.blocks import Numbered, number_of, shortest, taken_blocks
from pipelines.features.compiled import compiled
from pipelines.features.lent import lent
from pipelines.features.lookups import MISSING
from pipelines.features.program import MARK_BITS, USER_TOUCHES, USER_UNTIL, Floats, Ints
from pipelines.features.shapes import Shape

MET = 160  # times, floats and items of a record that are remembered
LARGEST_WHOLE = 2.0**40  # of a float
HUNDRED, LAST_BITS = 100.0, 64


class _Record(NamedTuple):
    """A record and its bits, with what was met in it so far; the first word of that says how many."""

    words: Ints
    numbers: Floats  # the same memory
    stream: Ints
    times: Ints
    floats: Ints
    items: Ints


@compiled
def coded(words: Ints, stream: Ints, met: Ints, reading: bool, shape: Shape, numbered: Numbered) -> bool:
    """Write the words of a record into a stream, see `bits`, that is all zeros and three times as long; or
    read them from one, into words that are zeros. `met` is room for what was met: int64[3, 1 + MET] zeros.

    False for a record that cannot be given back, for a stream that is damaged, and for one that names numbers
    that are not known.
    """
    stream[0] = 0
    # Who calls holds the arrays: what is lent may not be the last to name its memory.
    numbers = words.view(np.float64)
    record = _Record(lent(words), lent(numbers), lent(stream), lent(met[0]), lent(met[1]), lent(met[2]))
    shape, numbered = lent(shape), lent(numbered)
    is_whole = True
    for i in range(shape.sections.shape[0]):
        kind, at, size = shape.sections[i, s.KIND], shape.sections[i, s.AT], shape.sections[i, s.SIZE]
        if kind == s.WORDS and size == 1:
            _word(record, reading, at, shape.sections[i, s.CLASS], 0)
        elif kind == s.WORDS:
            _sparse(record, reading, at, size, -1, shape.sections[i, s.CLASS])
        elif kind == s.WINDOW or kind == s.SKETCH:
            _window(record, reading, shape, i)
        elif kind == s.RING:
            is_whole &= _ring(record, reading, numbered, at, size)
        else:
            is_whole &= _table(record, reading, numbered, shape, i)
    return is_whole and stream[0] <= 64 * (stream.size - 1)


@compiled
def _word(record: _Record, reading: bool, at: int, kind: int, expected: int) -> None:
    words, stream = record.words, record.stream
    if kind == s.COUNT:
        words[at] = gamma(stream, reading, words[at])
    elif kind == s.SIGNED:
        words[at] = signed(stream, reading, words[at])
    elif kind == s.TALLY and _tally(record, reading, at, expected):
        return
    elif bits(stream, reading, words[at] != 0, 1):
        if kind == s.RAW or kind == s.MARK:
            words[at] = bits(stream, reading, words[at], 64 if kind == s.RAW else MARK_BITS)
        elif kind == s.TIME:
            words[at] = _again(stream, reading, record.times, words[at], True)
        elif kind == s.MEAN and _mean(record, reading, at):
            return
        else:
            _float(record, reading, at)


@compiled
def _tally(record: _Record, reading: bool, at: int, expected: int) -> bool:
    """Whether it is a whole number, not below the expected one; how much above."""
    numbers, code = record.numbers, 1
    if not reading and expected <= numbers[at] < LARGEST_WHOLE and record.words[at] >= 0:
        above = int(numbers[at] - expected)
        if numbers[at] == np.float64(expected + above):
            code = above + (above > 0)
    code = gamma(record.stream, reading, code)  # 1 says no
    if code != 1:
        numbers[at] = np.float64(expected + code - (code > 0))
    return code != 1


@compiled
def _mean(record: _Record, reading: bool, at: int) -> bool:
    """Whether it is a sum of hundredths by the number before it, but for the last bits; that sum, and how far
    those are."""
    words, numbers, stream = record.words, record.numbers, record.stream
    total, off, is_mean = 0, 0, False
    if not reading:
        word, about = words[at], numbers[at] * numbers[at - 1] * HUNDRED
        if 0 < about < LARGEST_WHOLE:
            total = int(np.rint(about))
            numbers[at] = total / HUNDRED / numbers[at - 1]
            off = word - words[at]
            words[at] = word
            is_mean = abs(off) <= LAST_BITS
    if not bits(stream, reading, is_mean, 1):
        return False
    total, off = gamma(stream, reading, total), signed(stream, reading, off)
    numbers[at] = total / HUNDRED / numbers[at - 1]
    words[at] += off
    return True


@compiled
def _float(record: _Record, reading: bool, at: int) -> None:
    """A whole number, or any float."""
    words, numbers, stream = record.words, record.numbers, record.stream
    is_whole = 0 < numbers[at] < LARGEST_WHOLE and numbers[at] == np.floor(numbers[at])
    if bits(stream, reading, is_whole, 1):
        numbers[at] = np.float64(gamma(stream, reading, 0 if reading else int(numbers[at])))
    else:
        words[at] = _again(stream, reading, record.floats, words[at], False)


@compiled
def _again(stream: Ints, reading: bool, met: Ints, value: int, is_near: bool) -> int:
    """The value met last, an earlier one, or a new one, perhaps near the last; it is the last now."""
    found = 0
    if not reading:
        while found < met[0] and met[1 + found] != value:
            found += 1
    # 0 is the last one, 1 a new one, others stand one further.
    code = gamma(stream, reading, 1 if found == met[0] else found + (found > 0))
    if code == 0:
        return int(met[1])
    found = met[0] if code == 1 else min(code - 1, MET - 1)
    if code != 1:
        value = met[1 + found]
    elif is_near:
        is_below = bits(stream, reading, met[1] < value, 1)
        gap = wide(stream, reading, ~(met[1] - value) if is_below else met[1] - value)
        value = met[1] - (~gap if is_below else gap)
    else:
        value = bits(stream, reading, value, 64)
    if code == 1 and met[0] < MET:
        met[0] += 1
    for place in range(min(found, MET - 1), 0, -1):
        met[1 + place] = met[place]
    met[1] = value
    return value


@compiled
def _sparse(record: _Record, reading: bool, at: int, size: int, newest: int, kind: int) -> None:
    """How many are not zero, how far each is from the one before, and those; from the beginning, or backwards
    in a ring from `newest`."""
    words, stream, count = record.words, record.stream, 0
    if not reading:
        for i in range(size):
            count += words[at + i] != 0
    count, step = min(gamma(stream, reading, count), size), 0
    for _ in range(count):
        gap = 0
        if not reading:
            while words[_place(at, size, newest, step + gap)] == 0:
                gap += 1
        step = min(step + gamma(stream, reading, gap), size - 1)
        _word(record, reading, _place(at, size, newest, step), kind, 0)
        step += 1


@compiled
def _place(at: int, size: int, newest: int, step: int) -> int:
    return at + (step if newest < 0 else (newest - step) % size)


@compiled
def _window(record: _Record, reading: bool, shape: Shape, i: int) -> None:
    """The newest bucket, near that of the user's latest act, and what the buckets hold."""
    at, size, width = shape.sections[i, s.AT], shape.sections[i, s.SIZE], shape.sections[i, s.WIDTH]
    words, newest = record.words, -1
    if bits(record.stream, reading, words[at] != 0, 1):
        now = words[USER_UNTIL] // width
        words[at] = now - signed(record.stream, reading, now - words[at])
        newest = words[at] % size if shape.sections[i, s.KIND] == s.WINDOW else -1
    _sparse(record, reading, at + 1, size, newest, shape.sections[i, s.CLASS])


@compiled
def _ring(record: _Record, reading: bool, numbered: Numbered, at: int, size: int) -> bool:
    """How many were put in, the items of those that are in, their times."""
    words, is_whole = record.words, True
    words[at] = gamma(record.stream, reading, words[at])
    taken = size if words[at] < 0 else min(words[at], size)
    for place in range(at + 1, at + 1 + taken):
        is_whole &= _item(record, reading, numbered, place)
    for place in range(at + 1 + size, at + 1 + size + taken):
        words[place] = _again(record.stream, reading, record.times, words[place], True)
    if not reading:
        for place in range(at + 1 + taken, at + 1 + size):
            is_whole &= words[place] == 0 and words[place + size] == 0
    return is_whole


@compiled
def _item(record: _Record, reading: bool, numbered: Numbered, at: int) -> bool:
    """An item that is known of the record, or the number of a new one."""
    words, known, found = record.words, record.items, 0
    count = known[0]
    if not reading:
        while found < count and known[1 + found] != words[at]:
            found += 1
    found = bits(record.stream, reading, found, length(count))
    if found < count:
        words[at] = known[1 + found]
        return True
    number = wide(record.stream, reading, 0 if reading else number_of(numbered, words[at]))
    if number < 0 or number >= numbered.keys.size:
        return False
    words[at] = numbered.keys[number]
    _know(known, words[at])
    return True


@compiled
def _know(known: Ints, key: int) -> None:
    if known[0] < MET:
        known[0] += 1
        known[known[0]] = key


@compiled
def _table(record: _Record, reading: bool, numbered: Numbered, shape: Shape, i: int) -> bool:
    """The blocks that are taken, by number: their keys, and how far from its place each one lies; then when
    they were touched and their words."""
    kind, table, slots = shape.sections[i, s.KIND], shape.sections[i, s.AT], shape.sections[i, s.SIZE]
    words, stream = record.words, record.stream
    numbers, places, count = np.empty(slots, np.int64), np.empty(slots, np.int64), 0
    if not reading:
        count = taken_blocks(words, numbered, shape, i, numbers, places)
        if count == MISSING:
            return False
    count = min(bits(stream, reading, count, length(slots)), slots)
    low = (
        bits(stream, reading, 0 if reading else shortest(numbers, count), 6)
        if kind != s.KEYS and count
        else 0
    )
    sizes, number, is_whole = length(words[USER_TOUCHES]), -1, True
    for taken in range(count):
        key = 0 if reading else words[table + places[taken]]
        if kind == s.KEYS:
            key = bits(stream, reading, key, 64)
        else:
            number += 1 + rice(stream, reading, 0 if reading else numbers[taken] - number - 1, low)
            if number < 0 or number >= numbered.keys.size:
                return False
            key = numbered.keys[number]
        home = key % slots
        slot = (home + gamma(stream, reading, 0 if reading else (places[taken] - home) % slots)) % slots
        words[table + slot] = key
        touch = table + slots + slot
        is_whole &= length(words[touch]) <= sizes
        words[touch] = bits(stream, reading, words[touch], sizes)
        _block(record, reading, shape, i, slot)
        if kind == s.ITEMS:
            _know(record.items, key)
    return is_whole


@compiled
def _block(record: _Record, reading: bool, shape: Shape, i: int, slot: int) -> None:
    table, slots, size = shape.sections[i, s.AT], shape.sections[i, s.SIZE], shape.sections[i, s.BLOCK]
    first, counted = table + 2 * slots + slot * size, 0
    for at in range(size):
        kind = shape.classes[shape.sections[i, s.CLASSES] + at]
        _word(record, reading, first + at, kind, counted)
        counted += record.words[first + at] if kind == s.COUNT else 0
