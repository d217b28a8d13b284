"""Records as they lie in a store: large ones compressed, since most words of a user's record are zero."""

from __future__ import annotations

import pyarrow as pa

PACKED_FROM = 4096  # bytes; below, reading would cost more than the space is worth
_CODEC = "lz4_raw"
_PLAIN, _PACKED = b"\x00", b"\x01"


def packed(record: bytes) -> bytes:
    """The record as it is stored; `unpacked` gives it back."""
    if len(record) < PACKED_FROM:
        return _PLAIN + record
    small: bytes = pa.compress(record, codec=_CODEC, asbytes=True)
    return _PACKED + len(record).to_bytes(4, "big") + small


def unpacked(stored: bytes) -> bytes:
    """The record of `packed`."""
    if stored[:1] == _PLAIN:
        return stored[1:]
    size = int.from_bytes(stored[1:5], "big")
    record: bytes = pa.decompress(stored[5:], size, codec=_CODEC, asbytes=True)
    return record
