"""Hashes of a few ids at a time, without Arrow arrays around them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from pipelines.features.hashing import hash_slices
from pipelines.features.program import Ints

NO_SEED = np.uint64(0)


def hash_list(texts: Sequence[str]) -> Ints:
    """`hashing.hash_texts` of texts that are no Arrow array: many times faster for a few."""
    pieces = [text.encode() for text in texts]
    ends = np.fromiter(accumulate(map(len, pieces), initial=0), np.int64, len(pieces) + 1)
    content = np.frombuffer(b"".join(pieces) or b"\0", np.uint8)
    hashes: Ints = hash_slices(content, ends, NO_SEED)
    return hashes


def hash_id(text: str) -> int:
    """`hashing.hash_text` of one id."""
    return int(hash_list([text])[0])
