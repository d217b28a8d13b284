"""State records: fixed layouts of 8-byte words, one per item, attribute value and user, and one for
everything."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipelines.features import program as p

Records = npt.NDArray[np.int64]
UNUSED = ("unused",)
"""Field names of a record in which nothing is kept."""


class LayoutBuilder:
    """Places fields one after another; a field is a number of words of one type."""

    def __init__(self) -> None:
        self.fields: list[tuple[str, str, int]] = []
        self.words = 0

    def place(self, name: str, kind: str, words: int) -> int:
        """Offset, in words, of a new field of `words` words: kind `<i8` or `<f8`."""
        offset = self.words
        self.fields.append((name, kind, words))
        self.words += words
        return offset

    def dtype(self) -> np.dtype[np.void]:
        """The record as a numpy dtype; at least one word, so that a record exists."""
        fields = self.fields or [(UNUSED[0], "<i8", 1)]
        return np.dtype([(n, k, (w,)) if w > 1 else (n, k) for n, k, w in fields])


@dataclass(frozen=True)
class Layouts:
    """The dtypes of the four kinds of records, and a hash that a stored record must have been written
    under."""

    everything: np.dtype[np.void]
    item: np.dtype[np.void]
    value: np.dtype[np.void]
    user: np.dtype[np.void]
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        parts = [self.everything, self.item, self.value, self.user]
        text = json.dumps([p.RECENT_IDS, p.MARK_BITS, *[part.descr for part in parts]])
        object.__setattr__(self, "hash", hashlib.sha256(text.encode()).hexdigest()[:16])


def empty(layout: np.dtype[np.void], rows: int) -> Records:
    """Words of `rows` new records, one record a row: nothing has happened. View one as its layout with
    `as_records`."""
    return np.zeros((rows, layout.itemsize // 8), np.int64)


def as_records(words: Records, layout: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """The same memory, with the layout's field names."""
    return words.view(layout)[:, 0]
