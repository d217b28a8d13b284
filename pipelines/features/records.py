"""Kernels on one record, given as `records[row]`: counts in rings of buckets, tables of bounded size, rings
of latest items.

Records are passed whole, with a row: a view of a row costs more than what is done with it.
"""

from __future__ import annotations

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
        found |= users[row, i] == mark  # without a way out, the processor compares several at once
    if found:
        return True
    users[row, USER_RECENT + users[row, USER_RECENT_NEXT]] = mark
    users[row, USER_RECENT_NEXT] = (users[row, USER_RECENT_NEXT] + 1) % RECENT_IDS
    return False


@compiled
def place_in_ring(records: Ints, row: int, head: int, buckets: int, words: int, bucket: int) -> int:
    """Where the `words` words of `bucket` (a number of bucket lengths since 1970) begin, MISSING when the
    ring has moved past it.

    Word `head` holds the newest bucket so far, the words of it and of the `buckets - 1` before follow. What
    they hold in the end does not depend on the order of calls.
    """
    newest = records[row, head]
    if bucket <= newest - buckets:
        return MISSING
    if bucket > newest:
        for gone in range(max(newest + 1, bucket - buckets + 1), bucket + 1):
            first = head + 1 + gone % buckets * words
            for word in range(first, first + words):
                records[row, word] = 0
        records[row, head] = bucket
    return int(head + 1 + bucket % buckets * words)


@compiled
def add_in_bucket(records: Ints, row: int, head: int, buckets: int, bucket: int, amount: int) -> bool:
    """Add the amount in `bucket`; False when the ring has moved past it."""
    place = place_in_ring(records, row, head, buckets, 1, bucket)
    if place == MISSING:
        return False
    records[row, place] += amount
    return True


@compiled
def count_in_buckets(records: Ints, row: int, head: int, buckets: int, bucket: int, window: int) -> int:
    """Sum of the counts of `bucket` and the `window - 1` buckets before it."""
    newest = records[row, head]
    first, last = max(bucket - window, newest - buckets) + 1, min(bucket, newest)
    total, place = 0, first % buckets
    for _ in range(first, last + 1):
        total += records[row, head + 1 + place]
        place = place + 1 if place + 1 < buckets else 0
    return total


@compiled
def find_slot(users: Ints, row: int, table: int, slots: int, key: int) -> int:
    """Number of the table's slot that holds `key`, MISSING without one."""
    start = key % slots
    for step in range(slots):
        slot = start + step if start + step < slots else start + step - slots
        held = users[row, table + slot]
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
    users[row, USER_TOUCHES] += 1
    start = key % slots
    oldest, chosen = 0, MISSING
    for step in range(slots):
        slot = start + step if start + step < slots else start + step - slots
        held, touched = users[row, table + slot], users[row, table + slots + slot]
        if held in (key, 0):
            chosen = slot
            break
        if chosen == MISSING or touched < oldest:
            oldest, chosen = touched, slot
    if users[row, table + chosen] != key:
        users[row, table + chosen] = key
        block = table + 2 * slots + chosen * words
        for word in range(block, block + words):
            users[row, word] = 0
    users[row, table + slots + chosen] = users[row, USER_TOUCHES]
    return chosen


@compiled
def push(users: Ints, row: int, ring: int, length: int, item_key: int, time: int) -> None:
    """Put an item and its time into the ring: how many were put in so far, then `length` item keys, then
    their times."""
    place = users[row, ring] % length
    users[row, ring + 1 + place] = item_key
    users[row, ring + 1 + length + place] = time
    users[row, ring] += 1
