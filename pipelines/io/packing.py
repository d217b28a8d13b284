"""Records as they lie in a store: those of users compressed, since most of their words are zero, and versions
of items; the others, many of which a request reads, as they are."""

from __future__ import annotations

import pyarrow as pa

PACKED = (b"u", b"c")
"""Kinds of records that are compressed."""

_CODEC = "zstd"


def packed(kind: bytes, record: bytes) -> bytes:
    """The record as it is stored; `unpacked` gives it back."""
    if kind not in PACKED:
        return record
    small: bytes = pa.compress(record, codec=_CODEC, asbytes=True)
    return len(record).to_bytes(4, "big") + small


def unpacked(kind: bytes, stored: bytes) -> bytes:
    """The record of `packed`."""
    if kind not in PACKED:
        return stored
    record: bytes = pa.decompress(stored[4:], int.from_bytes(stored[:4], "big"), codec=_CODEC, asbytes=True)
    return record
