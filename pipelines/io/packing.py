"""Records as they lie in a store: those of users in few bytes, since most of their words are zero, versions
of items compressed; the others, many of which a request reads, as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:  # kernels take seconds to import, and who only reads records needs none
    from pipelines.features.definitions import Definitions

FORMAT = 1
"""Grows when records are packed in another way; a store that was packed otherwise is refused."""

PACKED = (b"u", b"c")
"""Kinds of records that do not lie as they are."""

BLOCK = b"block-%d"
"""Name of a block of hashes, see `features.numbering`, beside the records that name them by number."""

COUNT = b"numbers"
"""Name of how many of them there are."""

_USER = b"u"
_COMPRESSED, _COMPACT = b"\0", b"\1"
_CODEC = "zstd"


class Packer:
    """Packs and unpacks the records of one store, whose numbers it knows. Any thread may unpack while one
    packs."""

    def __init__(self, definitions: Definitions | None = None) -> None:
        """No number is known yet. Without definitions, records of users are compressed as any bytes are."""
        self._definitions, self._users = definitions, None
        if definitions is not None:
            from pipelines.features.numbering import UserRecords

            self._users = UserRecords(definitions)

    def anew(self) -> Packer:
        """One for another store of the same records."""
        return Packer(self._definitions)

    @property
    def count(self) -> int:
        """How many numbers are known."""
        return 0 if self._users is None else self._users.count

    def packed_all(self, records: Mapping[bytes, bytes | None]) -> list[tuple[bytes, bytes | None]]:
        """The records by key as they are stored; None stays. Hashes that they name first have a number then:
        see `blocks`."""
        if self._users is not None:
            self._users.learn([r for key, r in records.items() if key[:1] == _USER and r is not None])
        return [(key, None if r is None else self.packed(key[:1], r)) for key, r in records.items()]

    def packed(self, kind: bytes, record: bytes) -> bytes:
        """The record as it is stored; `unpacked` gives it back."""
        if kind not in PACKED:
            return record
        small = self._users.packed(record) if self._users is not None and kind == _USER else None
        if small is not None:
            return _COMPACT + small
        size = len(record).to_bytes(4, "big")
        return _COMPRESSED + size + bytes(pa.compress(record, codec=_CODEC, asbytes=True))

    def unpacked(self, kind: bytes, stored: bytes) -> bytes:
        """The record of `packed`."""
        if kind not in PACKED:
            return stored
        if stored[:1] == _COMPACT and self._users is not None:
            return self._users.unpacked(stored[1:])
        size = int.from_bytes(stored[1:5], "big")
        return bytes(pa.decompress(stored[5:], size, codec=_CODEC, asbytes=True))

    def blocks(self, since: int) -> Iterator[tuple[bytes, bytes]]:
        """Name and content of the blocks that hold the numbers from `since` on."""
        if self._users is not None:
            yield from ((BLOCK % place, block) for place, block in self._users.blocks(since))

    def lacking(self, count: int) -> list[bytes]:
        """Names of the blocks to be taken before `count` numbers are known."""
        return [] if self._users is None else [BLOCK % place for place in self._users.lacking(count)]

    def take(self, blocks: list[bytes]) -> None:
        """Take over the numbers of the blocks that were `lacking`."""
        if self._users is not None:
            self._users.take(blocks)
