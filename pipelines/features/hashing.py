"""One hash for ids and attribute values: XXH64, the same on every platform.

Source: Yann Collet, "XXH64 algorithm description", https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.features.compiled import compiled
from pipelines.features.program import Ints

Bytes = npt.NDArray[np.uint8]

PRIME_1 = np.uint64(0x9E3779B185EBCA87)
PRIME_2 = np.uint64(0xC2B2AE3D27D4EB4F)
PRIME_3 = np.uint64(0x165667B19E3779F9)
PRIME_4 = np.uint64(0x85EBCA77C2B2AE63)
PRIME_5 = np.uint64(0x27D4EB2F165667C5)


def hash_texts(texts: pa.Array | pa.ChunkedArray, seed: int = 0) -> npt.NDArray[np.int64]:
    """XXH64 of each text's UTF-8 bytes as int64; never 0, which means "no id" in a record. Null texts hash
    like empty ones."""
    column = pa.chunked_array([texts]) if isinstance(texts, pa.Array) else texts
    array = column.cast(pa.large_string()).combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0)
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    content = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    hashes: npt.NDArray[np.int64] = hash_slices(content, starts, np.uint64(seed & 0xFFFFFFFFFFFFFFFF))
    return hashes


def hash_text(text: str, seed: int = 0) -> int:
    """`hash_texts` of one text."""
    return int(hash_texts(pa.array([text]), seed)[0])


@compiled
def hash_slices(content: Bytes, starts: Ints, seed: np.uint64) -> Ints:
    """Hash of content[starts[i]:starts[i + 1]] for each i, as int64; 1 in place of 0."""
    hashes = np.empty(starts.size - 1, np.int64)
    for i in range(hashes.size):
        digest = np.int64(xxh64(content, starts[i], starts[i + 1], seed))
        hashes[i] = digest if digest != 0 else 1
    return hashes


@compiled
def xxh64(content: Bytes, first: int, last: int, seed: np.uint64) -> np.uint64:
    """XXH64 of the bytes content[first:last]."""
    size, at = last - first, first
    if size >= 32:
        a, b, c, d = seed + PRIME_1 + PRIME_2, seed + PRIME_2, seed, seed - PRIME_1
        while at <= last - 32:
            a, b = _round(a, _word(content, at, 8)), _round(b, _word(content, at + 8, 8))
            c, d = _round(c, _word(content, at + 16, 8)), _round(d, _word(content, at + 24, 8))
            at += 32
        digest = _rotated(a, 1) + _rotated(b, 7) + _rotated(c, 12) + _rotated(d, 18)
        for lane in (a, b, c, d):
            digest = (digest ^ _round(np.uint64(0), lane)) * PRIME_1 + PRIME_4
    else:
        digest = seed + PRIME_5
    digest += np.uint64(size)
    while at + 8 <= last:
        digest = _rotated(digest ^ _round(np.uint64(0), _word(content, at, 8)), 27) * PRIME_1 + PRIME_4
        at += 8
    if at + 4 <= last:
        digest = _rotated(digest ^ (_word(content, at, 4) * PRIME_1), 23) * PRIME_2 + PRIME_3
        at += 4
    while at < last:
        digest = _rotated(digest ^ (np.uint64(content[at]) * PRIME_5), 11) * PRIME_1
        at += 1
    digest = (digest ^ (digest >> np.uint64(33))) * PRIME_2
    digest = (digest ^ (digest >> np.uint64(29))) * PRIME_3
    return digest ^ (digest >> np.uint64(32))


@compiled
def _word(content: Bytes, at: int, size: int) -> np.uint64:
    word = np.uint64(0)
    for i in range(size):
        word |= np.uint64(content[at + i]) << np.uint64(8 * i)
    return word


@compiled
def _rotated(word: np.uint64, bits: int) -> np.uint64:
    return (word << np.uint64(bits)) | (word >> np.uint64(64 - bits))


@compiled
def _round(lane: np.uint64, word: np.uint64) -> np.uint64:
    return _rotated(lane + word * PRIME_2, 31) * PRIME_1
