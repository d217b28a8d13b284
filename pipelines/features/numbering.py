"""Users' records in few bytes, with numbers in place of the hashes of items and values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pipelines.errors import FeatureError
from pipelines.features import shapes as s
from pipelines.features.blocks import Numbered
from pipelines.features.compact import MET, coded
from pipelines.features.definitions import Definitions
from pipelines.features.program import Ints
from pipelines.features.rows import Rows
from pipelines.features.shapes import Shape, shape_of

BLOCK = 256
"""How many hashes are kept together."""

_AT_ONCE = 64  # records whose hashes are looked up at once


class UserRecords:
    """Packs and unpacks records of users. Numbers are given in the order in which hashes are met, those of
    values first, and never change: who keeps packed records keeps the blocks of hashes beside them.

    Any thread may unpack while one thread packs.
    """

    def __init__(self, definitions: Definitions) -> None:
        """No number is given yet."""
        layouts = definitions.layouts
        self._shape, self._words = shape_of(definitions), layouts.user.itemsize // 8
        self._head = bytes.fromhex(layouts.hash)
        self._version = np.frombuffer(self._head, np.int64)
        self._places = _key_places(self._shape)
        self._room: Ints = np.zeros(BLOCK, np.int64)  # hashes by number, and room for more
        self._rows = Rows()
        self._numbered = Numbered(self._room[:0], self._rows.index_keys, self._rows.index_rows)
        self.packed(self._head + bytes(8 * self._words))  # so that no request waits for the kernels

    @property
    def count(self) -> int:
        """How many numbers are given."""
        return self._numbered.keys.size

    def packed(self, record: bytes) -> bytes | None:
        """The record in few bytes, if `learn` has seen it; None for one that is not of this layout, or that
        would not be given back as it is."""
        if not self._is_ours(record):
            return None
        words = np.frombuffer(record, np.int64, offset=8).copy()
        stream = np.zeros(3 * self._words + 16, np.int64)
        if not self._coded(words, stream, False):
            return None
        small = stream[1:].view(np.uint8)[: (int(stream[0]) + 7) >> 3].tobytes()
        return small if self._restored(small) == record else None

    def unpacked(self, small: bytes) -> bytes:
        """The record of `packed`. Raises FeatureError for bytes that are none, or of other numbers."""
        record = self._restored(small)
        if record is None:
            raise FeatureError(
                f"{len(small)} bytes are no record of a user, or name items without a number: build the "
                "records again from the history"
            )
        return record

    def learn(self, records: Sequence[bytes]) -> None:
        """Give numbers to the hashes in these records that have none."""
        ours = b"".join(record for record in records if self._is_ours(record))
        words = np.frombuffer(ours, np.int64).reshape(-1, 1 + self._words)
        for places in self._places:
            for start in range(0, len(words), _AT_ONCE):
                self._give(np.ascontiguousarray(words[start : start + _AT_ONCE, places]).ravel())

    def blocks(self, since: int) -> Iterator[tuple[int, bytes]]:
        """The blocks that hold the numbers from `since` on, each with its place."""
        for place in range(since // BLOCK, -(-self.count // BLOCK) if self.count > since else 0):
            yield place, self._numbered.keys[place * BLOCK : (place + 1) * BLOCK].tobytes()

    def lacking(self, count: int) -> range:
        """Places of the blocks to be taken before `count` numbers are given."""
        return range(self.count // BLOCK, -(-count // BLOCK) if count > self.count else 0)

    def take(self, blocks: Sequence[bytes]) -> None:
        """Take over the numbers of the blocks that were `lacking`."""
        self._give(np.frombuffer(b"".join(blocks), np.int64)[self.count % BLOCK :].copy())

    def _give(self, keys: Ints) -> None:
        rows, before = self._rows.of(keys), self.count
        count, is_new = self._rows.count, rows >= before
        if count > self._room.size:
            self._room = np.append(self._room, np.zeros(2 * count - self._room.size, np.int64))
        self._room[rows[is_new]] = keys[is_new]
        self._numbered = Numbered(self._room[:count], self._rows.index_keys, self._rows.index_rows)

    def _restored(self, small: bytes) -> bytes | None:
        stream = np.zeros(3 + len(small) // 8, np.int64)
        stream[1:].view(np.uint8)[: len(small)] = np.frombuffer(small, np.uint8)
        record = np.zeros(1 + self._words, np.int64)
        record[:1] = self._version
        return record.tobytes() if self._coded(record[1:], stream, True) else None

    def _coded(self, words: Ints, stream: Ints, reading: bool) -> bool:
        met = np.zeros((3, 1 + MET), np.int64)
        return bool(coded(words, stream, met, reading, self._shape, self._numbered))

    def _is_ours(self, record: bytes) -> bool:
        return len(record) == 8 * (1 + self._words) and record[:8] == self._head


def _key_places(shape: Shape) -> tuple[Ints, Ints]:
    """Where in a record hashes stand, of values and of items; its head counts."""
    found = []
    for kinds in ((s.VALUES,), (s.ITEMS, s.RING)):
        starts = [
            (int(row[s.AT]) + 1 + int(row[s.KIND] == s.RING), int(row[s.SIZE]))
            for row in shape.sections
            if row[s.KIND] in kinds
        ]
        found.append(np.concatenate([np.zeros(0, np.int64), *(np.arange(at, at + n) for at, n in starts)]))
    return found[0], found[1]
