"""The online store: state records by key, with the place in Kafka up to which they are folded.

Records and fences (topic, partition → offset of the next message to fold) change together, in one
transaction, and are read together: whoever reads both knows exactly which messages the records hold. A store
belongs to one way of folding; another one is refused, never mixed in.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from pipelines.errors import SettingsError, StoreError, nearest
from pipelines.io.packing import FORMAT
from pipelines.settings import Settings

if TYPE_CHECKING:  # kernels take seconds to import, and who only reads records needs none
    from pipelines.features.definitions import Definitions

Place = tuple[str, int]
"""Topic and partition."""

Changes = Mapping[bytes, bytes | None]
"""Keys and records; None deletes."""

KINDS = {
    b"e": "everything",
    b"i": "item",
    b"v": "value",
    b"u": "user",
    b"d": "day",
    b"c": "catalog",
    b"a": "arrival",
}
"""First byte of a key → what its record is of: the four of `carriers`, and what the stream itself keeps: the
day of a user's latest arrival, versions of items, a partition's latest arrival."""


class Snapshot(msgspec.Struct, frozen=True):
    """Records by key, those that there are, and the fences of the same moment."""

    records: dict[bytes, bytes]
    fences: dict[Place, int]
    generation: object = None
    """Which state of the store this is; None where it does not tell."""


@dataclass(frozen=True)
class Stats:
    """How many records there are of each kind and how many bytes those take; and the bytes of the store."""

    records: dict[str, int]
    record_bytes: dict[str, int]
    total_bytes: int

    @property
    def bytes_per_million_users(self) -> int | None:
        """What users like those in the store would take, a million of them; None without users."""
        users = self.records["user"]
        taken = self.record_bytes["user"] + self.record_bytes["day"]
        return taken * 1_000_000 // users if users else None


class OnlineStore(ABC):
    """What every kind of store offers. Any number of processes may read while one writes; no reader waits.

    A store that `rebuild_store` has put in the place of this one is taken up by the next call.
    """

    _readonly: bool
    _place: str  # what an error names

    @abstractmethod
    def read(self, keys: Sequence[bytes]) -> Snapshot:
        """The records of these keys and all fences, as they were at one moment."""

    def read_since(self, generation: object, lacking: Callable[[bytes | None], Sequence[bytes]]) -> Snapshot:
        """The records of the keys that `lacking` names, as `read`, when it is told which records of items and
        values have changed since the snapshot of that `generation`: their keys, one behind the other, or None
        when any of them may have. It may be asked again, and is then told what has changed since."""
        return self.read(lacking(None))

    def is_still(self, generation: object) -> bool:
        """Whether nothing was written since the snapshot of that `generation`; False where only reading would
        tell."""
        return False

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The records of these keys that there are."""
        return self.read(keys).records

    @abstractmethod
    def fences(self) -> dict[Place, int]:
        """The offset of the next message to fold, of every partition of which something was folded."""

    def latest_fences(self) -> dict[Place, int]:
        """The fences, or those that were read last where asking for them alone would take a round trip."""
        return self.fences()

    def fence(self, topic: str, partition: int) -> int:
        """The offset of the next message to fold; 0 before the first."""
        return self.fences().get((topic, partition), 0)

    @abstractmethod
    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys and records of one kind (the first byte of `prefix`) whose key begins with `prefix` and is
        greater than `after`, in order. What is written meanwhile may be among them or not."""

    def write(
        self,
        records: Changes,
        fences: Mapping[Place, int],
        expected: Mapping[Place, int],
    ) -> None:
        """Put these records (None: delete) and fences in one transaction, if all fences are still `expected`.

        Raises FenceError when they are not: somebody folded in between; read again and skip what is done.
        """
        if self._readonly:
            raise StoreError(f"the online store {self._place} was opened to be read only")
        self._change(records, fences, expected)

    @abstractmethod
    def _change(self, records: Changes, fences: Mapping[Place, int], expected: Mapping[Place, int]) -> None:
        """`write` to a store that may be written to."""

    @abstractmethod
    def hold(self) -> AbstractContextManager[None]:
        """Keep all others who write to the store in use waiting."""

    @abstractmethod
    def publish(self) -> None:
        """Make this store, opened by `store_beside` and held, the one that all read and write; the one before
        is deleted."""

    @abstractmethod
    def stats(self) -> Stats:
        """What the store holds."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it; harmless when that was done before."""

    def __enter__(self) -> OnlineStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def states_version(definitions: Definitions) -> str:
    """A hash of all that decides what a state record holds after an event: its layout, and what is folded
    into it, and of how the store packs it. Features that only read differently share it."""
    program = definitions.program
    parts = [program.targets, program.steps, program.step_values, program.rings, program.rewards]
    digest = hashlib.sha256(definitions.layouts.hash.encode())
    for part in parts:
        digest.update(part.tobytes())
    names = (definitions.events, definitions.attributes, definitions.numbers, program.gap, FORMAT)
    digest.update(repr(names).encode())
    return digest.hexdigest()[:16]


def open_store(settings: Settings, definitions: Definitions, readonly: bool = True) -> OnlineStore:
    """The store of the settings. One that is not there yet is made, unless it is only to be read.

    Raises StoreError when there is none to read, when it does not answer, and for a store that was folded by
    other definitions.
    """
    return _opened(settings, definitions, readonly, is_beside=False)


def store_beside(settings: Settings, definitions: Definitions) -> OnlineStore:
    """A new, empty store that nobody reads before it is published, whatever there is now."""
    return _opened(settings, definitions, readonly=False, is_beside=True)


def _opened(settings: Settings, definitions: Definitions, readonly: bool, is_beside: bool) -> OnlineStore:
    version, kind = states_version(definitions), settings.store.kind
    if kind == "lmdb":
        from pipelines.io.lmdb_store import LmdbStore

        return LmdbStore(settings.store_path, version, readonly, definitions, is_beside=is_beside)
    if kind == "redis":
        from pipelines.io.redis_store import RedisStore

        return RedisStore(settings.store, version, readonly, definitions, is_beside=is_beside)
    raise SettingsError(f"store.kind must be lmdb or redis, not {kind!r}{nearest(kind, ['lmdb', 'redis'])}")


def other_version(where: str, found: str, wanted: str) -> StoreError:
    """The refusal of a store that was folded by other definitions, or packs records otherwise."""
    return StoreError(
        f"the online store {where} was folded under the version {found or 'none'} of states, these features "
        f"need {wanted}: give the domain that it is of (`--domain`), or build it again from bronze "
        "(`./spark-submit.sh rebuild_store`)"
    )
