"""Dense rows for hashed ids, in the order in which the ids are first met."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.features.compiled import compiled
from pipelines.features.lookups import row_in
from pipelines.features.program import Ints


class Rows:
    """Gives each key a row: 0, 1, 2, … An open-addressing index that grows; `index_keys` holds 0 where it is
    free."""

    def __init__(self) -> None:
        """No keys yet."""
        self.index_keys: Ints = np.zeros(1024, np.int64)
        self.index_rows: Ints = np.zeros(1024, np.int64)
        self.count = 0

    def of(self, keys: Ints) -> Ints:
        """The row of each key; -1 for key 0, which means none. New keys get the next rows."""
        if 2 * (self.count + keys.size) > self.index_keys.size:
            self._grow(2 * (self.count + keys.size))
        rows = np.empty(keys.size, np.int64)
        self.count = int(_take_rows(self.index_keys, self.index_rows, keys, self.count, rows))
        return rows

    def found(self, keys: Ints) -> Ints:
        """The row of each key; -1 for one that was never met."""
        rows = np.empty(keys.size, np.int64)
        _find_rows(self.index_keys, self.index_rows, keys, rows)
        return rows

    def keys(self) -> Ints:
        """All keys, by row."""
        taken = self.index_keys != 0
        keys = np.empty(self.count, np.int64)
        keys[self.index_rows[taken]] = self.index_keys[taken]
        return keys

    def _grow(self, places: int) -> None:
        keys = self.keys()
        size = 1 << int(places).bit_length()
        self.index_keys, self.index_rows = np.zeros(size, np.int64), np.zeros(size, np.int64)
        _take_rows(self.index_keys, self.index_rows, keys, 0, np.empty(keys.size, np.int64))


@compiled
def _take_rows(index_keys: Ints, index_rows: Ints, keys: Ints, count: int, rows: Ints) -> int:
    last = index_keys.size - 1
    for i in range(keys.size):
        if keys[i] == 0:
            rows[i] = -1
            continue
        place = keys[i] & last
        while index_keys[place] not in (0, keys[i]):
            place = (place + 1) & last
        if index_keys[place] == 0:
            index_keys[place], index_rows[place] = keys[i], count
            count += 1
        rows[i] = index_rows[place]
    return count


@compiled
def _find_rows(index_keys: Ints, index_rows: Ints, keys: Ints, rows: Ints) -> None:
    for i in range(keys.size):
        rows[i] = row_in(index_keys, index_rows, keys[i])


def grown(words: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.int64]:
    """`words` itself when it has that many rows, otherwise a copy with empty records behind, twice as many as
    needed."""
    if words.shape[0] >= rows:
        return words
    larger = np.zeros((2 * rows, words.shape[1]), np.int64)
    larger[: words.shape[0]] = words
    return larger
