"""Numbers as bits, one behind the other. Each kernel writes and reads: what was written in some order is read
in that order.

A stream is an array of words: the first says how many bits were written or read so far, the others hold them.
"""

from __future__ import annotations

import numpy as np

from pipelines.features.compiled import compiled
from pipelines.features.program import Ints

MOST_ZEROS = 40  # of a quotient, see `rice`


@compiled
def bits(stream: Ints, reading: bool, value: int, count: int) -> int:
    """The lowest `count` bits of the value, 0 to 64. The last word of a stream holds none; from there on only
    zeros are read."""
    at, start = 1 + (stream[0] >> 6), np.uint64(stream[0] & 63)
    stream[0] += count
    if count == 0 or at + 1 >= stream.size:
        return 0
    mask = ~np.uint64(0) if count == 64 else (np.uint64(1) << np.uint64(count)) - np.uint64(1)
    is_split = start + np.uint64(count) > np.uint64(64)
    if reading:
        found = np.uint64(stream[at]) >> start
        if is_split:
            found |= np.uint64(stream[at + 1]) << (np.uint64(64) - start)
        return int(np.int64(found & mask))
    kept = np.uint64(value) & mask
    stream[at] |= np.int64(kept << start)
    if is_split:
        stream[at + 1] |= np.int64(kept >> (np.uint64(64) - start))
    return value


@compiled
def length(value: int) -> int:
    """How many bits the value takes, as a number without sign: 0 to 64."""
    rest, found = np.uint64(value), 0
    for step in (32, 16, 8, 4, 2, 1):
        if rest >> np.uint64(step) != np.uint64(0):
            rest >>= np.uint64(step)
            found += step
    return found + int(rest)


@compiled
def zeros(stream: Ints, reading: bool, count: int) -> int:
    """So many zeros, 0 to 64, and a one."""
    if not reading:
        bits(stream, False, 0, count)
        bits(stream, False, 1, 1)
        return count
    at, start = 1 + (stream[0] >> 6), np.uint64(stream[0] & 63)
    found = 0
    if at + 1 < stream.size:
        ahead = np.uint64(stream[at]) >> start
        if start != np.uint64(0):
            ahead |= np.uint64(stream[at + 1]) << (np.uint64(64) - start)
        while found < 64 and (ahead >> np.uint64(found)) & np.uint64(1) == np.uint64(0):
            found += 1
    stream[0] += found + 1
    return found


@compiled
def gamma(stream: Ints, reading: bool, value: int) -> int:
    """A number that is mostly small: 1 bit for 0, 2 for 1, 4 for 2 and 3, 6 for 4 to 7, and so on; any other
    is taken without sign. After Elias, "Universal codeword sets", 1975."""
    size = zeros(stream, reading, 0 if reading else length(value))
    if size == 0:
        return 0
    return bits(stream, reading, value, size - 1) | (1 << (size - 1))


@compiled
def wide(stream: Ints, reading: bool, value: int) -> int:
    """A number of any size: 7 bits for its length, and itself."""
    size = bits(stream, reading, 0 if reading else length(value), 7)
    if size == 0:
        return 0
    return bits(stream, reading, value, size - 1) | (1 << (size - 1))


@compiled
def rice(stream: Ints, reading: bool, value: int, low: int) -> int:
    """A number of about `2 ** low`, not negative: the rest in zeros. After Rice, "Some practical universal
    noiseless coding techniques", 1979."""
    quotient = 0 if reading else min(value >> low, MOST_ZEROS)
    quotient = zeros(stream, reading, quotient)
    if quotient >= MOST_ZEROS:
        return wide(stream, reading, value)
    return (quotient << low) | bits(stream, reading, value, low)


@compiled
def folded(value: int) -> int:
    """A number with sign as one without, small where it was near 0: 0, -1, 1, -2 are 0, 1, 2, 3."""
    return (value << 1) ^ (value >> 63)


@compiled
def unfolded(value: int) -> int:
    """The number of `folded`."""
    return int(np.int64(np.uint64(value) >> np.uint64(1))) ^ -(value & 1)


@compiled
def signed(stream: Ints, reading: bool, value: int) -> int:
    """`gamma` of a number near 0."""
    return unfolded(gamma(stream, reading, folded(value)))
