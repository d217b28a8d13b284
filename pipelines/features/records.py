"""Kernels on one record, given as `records[row]`: counts in rings of buckets, tables of bounded size, rings
of latest items.

Records are passed whole, with a row: a view of a row costs more than what is done with it.
"""

from __future__ import annotations

from pipelines.features.cells import cell, put
from pipelines.features.compiled import compiled
from pipelines.features.lookups import MISSING
from pipelines.features.program import (
    MARK_BITS,
    RECENT_IDS,
    USER_RECENT,
    USER_RECENT_NEXT,
    USER_TOUCHES,
    Ints,
)


@compiled
def is_repeat(users: Ints, row: int, event_id: int) -> bool:
    """Whether this user's latest events hold the id, by its mark; remembers it when they do not."""
    mark, found = max(event_id & ((1 << MARK_BITS) - 1), 1), False
    for i in range(USER_RECENT, USER_RECENT + RECENT_IDS):
        found |= cell(users, row, i) == mark  # without a way out, the processor compares several at once
    if found:
        return True
    place = cell(users, row, USER_RECENT_NEXT)
    put(users, row, USER_RECENT + place, mark)
    put(users, row, USER_RECENT_NEXT, (place + 1) % RECENT_IDS)
    return False


@compiled
def place_in_ring(records: Ints, row: int, head: int, buckets: int, words: int, bucket: int) -> int:
    """Where the `words` words of `bucket` (a number of bucket lengths since 1970) begin, MISSING when the
    ring has moved past it.

    Word `head` holds the newest bucket so far, the words of it and of the `buckets - 1` before follow. What
    they hold in the end does not depend on the order of calls.
    """
    newest = cell(records, row, head)
    if bucket <= newest - buckets:
        return MISSING
    if bucket > newest:
        for gone in range(max(newest + 1, bucket - buckets + 1), bucket + 1):
            first = head + 1 + gone % buckets * words
            for word in range(first, first + words):
                put(records, row, word, 0)
        put(records, row, head, bucket)
    return int(head + 1 + bucket % buckets * words)


@compiled
def add_in_bucket(records: Ints, row: int, head: int, buckets: int, bucket: int, amount: int) -> bool:
    """Add the amount in `bucket`; False when the ring has moved past it."""
    place = place_in_ring(records, row, head, buckets, 1, bucket)
    if place == MISSING:
        return False
    put(records, row, place, cell(records, row, place) + amount)
    return True


@compiled
def count_in_buckets(
    records: Ints, row: int, head: int, buckets: int, bucket: int, place: int, window: int
) -> int:
    """Sum of the counts of `bucket`, which is at `place` of the ring, and the `window - 1` buckets before
    it."""
    behind, total = bucket - cell(records, row, head), 0
    if behind >= window:
        return 0
    newest = (place - behind) % buckets if behind < 0 else place - behind
    newest = newest + buckets if newest < 0 else newest
    # Over the whole ring, as long for every record, so that the processor need not guess where it turns.
    for word in range(buckets):
        age = newest - word
        age = behind + (age + buckets if age < 0 else age)
        count = cell(records, row, head + 1 + word)
        total += count if 0 <= age < window else 0
    return total


@compiled
def place_of(key: int, slots: int) -> int:
    """The slot of a table where the search for a key begins."""
    return key & (slots - 1) if slots & (slots - 1) == 0 else key % slots


@compiled
def find_slot(users: Ints, row: int, table: int, slots: int, key: int) -> int:
    """Number of the table's slot that holds `key`, MISSING without one."""
    start = place_of(key, slots)
    for step in range(slots):
        slot = start + step if start + step < slots else start + step - slots
        held = cell(users, row, table + slot)
        if held == key:
            return slot
        if held == 0:
            return MISSING
    return MISSING


@compiled
def take_slot(users: Ints, row: int, table: int, slots: int, words: int, key: int) -> int:
    """Number of the slot of `key`, now touched; a new key takes a free slot, or the one that was touched
    longest ago.

    A table is `slots` keys (0: free), then when each was touched, then `slots` blocks of `words` words. There
    are free slots only until the table was full once, so a search may stop at the first.
    """
    touches = cell(users, row, USER_TOUCHES) + 1
    put(users, row, USER_TOUCHES, touches)
    start, chosen, held = place_of(key, slots), MISSING, 0
    for step in range(slots):
        slot = start + step if start + step < slots else start + step - slots
        held = cell(users, row, table + slot)
        if held in (key, 0):
            chosen = slot
            break
    if chosen == MISSING:
        chosen = _oldest_slot(users, row, table + slots, slots, start)
    if held != key:
        put(users, row, table + chosen, key)
        block = table + 2 * slots + chosen * words
        for word in range(block, block + words):
            put(users, row, word, 0)
    put(users, row, table + slots + chosen, touches)
    return chosen


@compiled
def _oldest_slot(users: Ints, row: int, touched: int, slots: int, start: int) -> int:
    """The slot that was touched longest ago, the first one from `start` where several were."""
    oldest = cell(users, row, touched)
    for slot in range(slots):
        oldest = min(oldest, cell(users, row, touched + slot))
    slot = start
    while cell(users, row, touched + slot) != oldest:
        slot = slot + 1 if slot + 1 < slots else 0
    return slot


@compiled
def push(users: Ints, row: int, ring: int, length: int, item_key: int, time: int) -> None:
    """Put an item and its time into the ring: how many were put in so far, then `length` item keys, then
    their times."""
    before = cell(users, row, ring)
    place = before % length
    put(users, row, ring + 1 + place, item_key)
    put(users, row, ring + 1 + length + place, time)
    put(users, row, ring, before + 1)
