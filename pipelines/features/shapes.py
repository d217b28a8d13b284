"""What the words of a user's record are, as `compact` takes them: sections of words, one behind the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipelines.features import program as p
from pipelines.features.definitions import Definitions
from pipelines.features.program import Ints, Program

# What a word is: a number, mostly small; one with a sign; any 64 bits; the mark of an event; a moment in ms;
# a float; one that is mostly how many counts stand before it in its block, or a little more; one that is
# mostly the mean of as many rewards as the float before it says.
COUNT, SIGNED, RAW, MARK, TIME, FLOAT, TALLY, MEAN = range(8)
# What a section is: words of one class; buckets behind the number of the newest; latest items and their
# times; a table of blocks by the hash of an item, of a value, or by any key.
WORDS, WINDOW, SKETCH, RING, ITEMS, VALUES, KEYS = range(7)
# Columns of a section: what it is; where; how many words, buckets, items or slots; and more on some: the
# class, a bucket's width in ms, the words of a block and where their classes stand.
KIND, AT, SIZE, CLASS, WIDTH, BLOCK, CLASSES = range(7)
COLUMNS = 7

_CLASS_OF = {p.LATEST: TIME, p.AMOUNT: SIGNED, p.FIRST: RAW}
_HEAD = {p.USER_QUERY: RAW, p.USER_SINCE: TIME, p.USER_UNTIL: TIME}


class Shape(NamedTuple):
    """The sections of a record, with the classes of the words of blocks."""

    sections: Ints  # [n, COLUMNS]
    classes: Ints


def shape_of(definitions: Definitions) -> Shape:
    """The sections of a user's record: every word is in one of them, once."""
    program, classes = definitions.program, list[int]()
    sections = [[WORDS, at, 1, _HEAD.get(at, COUNT), 0, 0, 0] for at in range(p.USER_RECENT)]
    sections.append([WORDS, p.USER_RECENT, p.RECENT_IDS, MARK, 0, 0, 0])
    for target in program.targets:
        if target[p.TARGET_SCOPE] in (p.SLOT, p.SESSION):
            words = _classes(program, target)
            where = [target[p.TARGET_TABLE], target[p.TARGET_SLOTS]]
            sections.append([_table(target), *where, 0, 0, len(words), len(classes)])
            classes += words
    for ring in program.rings:
        sections.append([RING, ring[p.RING_OFFSET], ring[p.RING_LENGTH], 0, 0, 0, 0])
    for step in program.steps:
        if step[p.STEP_SCOPE] == p.USER:
            sections += _of_user(step)
    return Shape(np.array(sections, np.int64), np.array(classes, np.int64))


def _table(target: Ints) -> int:
    if target[p.TARGET_SCOPE] == p.SESSION:
        return KEYS  # keys are mixed with the session, so no two users share them
    return ITEMS if target[p.TARGET_KEY] == p.ITEM_KEY else VALUES


def _classes(program: Program, target: Ints) -> list[int]:
    """What each word of the table's blocks is."""
    found = [COUNT] * int(target[p.TARGET_WORDS])
    for step in program.steps[target[p.TARGET_FIRST] : target[p.TARGET_LAST]]:
        for _, at, size, kind, *_ in _words(step):
            found[at : at + size] = [kind] * size
    return found


def _of_user(step: Ints) -> list[list[int]]:
    if step[p.STEP_WIDTH] == 0 or step[p.STEP_OP] in (p.LEARN, p.SUM):
        return _words(step)
    at, buckets, width = (int(step[column]) for column in (p.STEP_OFFSET, p.STEP_BUCKETS, p.STEP_WIDTH))
    if step[p.STEP_OP] == p.DISTINCT:
        return [[SKETCH, at, buckets * p.SKETCH_WORDS, RAW, width, 0, 0]]
    return [[WINDOW, at, buckets, _CLASS_OF.get(int(step[p.STEP_OP]), COUNT), width, 0, 0]]


def _words(step: Ints) -> list[list[int]]:
    """The words of a step that are not in a record's buckets, in sections."""
    at, op = int(step[p.STEP_OFFSET]), int(step[p.STEP_OP])
    if op == p.LEARN:
        kinds = [FLOAT, FLOAT, FLOAT] if step[p.STEP_ARG] else [TALLY, MEAN]
        return [[WORDS, at + n, 1, kind, 0, 0, 0] for n, kind in enumerate(kinds)]
    if op == p.SUM:
        return [[WORDS, at, 1, FLOAT, 0, 0, 0], [WORDS, at + 1, 1, FLOAT, 0, 0, 0]]
    each = p.SKETCH_WORDS if op == p.DISTINCT else 1
    kind = RAW if op == p.DISTINCT else _CLASS_OF.get(op, COUNT)
    if step[p.STEP_WIDTH]:
        size = 1 + int(step[p.STEP_BUCKETS]) * each
        return [[WORDS, at, size, kind, 0, 0, 0]]
    return [[WORDS, at, each, kind, 0, 0, 0]]
