"""Which records a store has changed: a log of the latest transactions, so that whoever keeps records reads
again only what is new."""

from __future__ import annotations

from collections.abc import Mapping

NOTED = (b"i", b"v")
"""Kinds of records of which each change is noted; a key of them has 9 bytes."""

GENERATIONS = 256
"""So many transactions' changes are kept: who last looked before them has to read everything again."""

ANY = b"*"
"""Stands for changes that are too many to be noted."""

_MANY = 1 << 20  # bytes of changed keys from which on they are too many


def noted(changes: Mapping[bytes, bytes | None]) -> bytes:
    """What a transaction's entry in the log says of its changes: their keys, one behind the other, or ANY."""
    keys = b"".join(key for key in changes if key[:1] in NOTED)
    return keys if len(keys) < _MANY else ANY
