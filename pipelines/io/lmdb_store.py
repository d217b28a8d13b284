"""The online store in a folder of this machine (LMDB): readers in any process never wait, and a crash leaves
what the last transaction left.

`<root>/current` is a link to the store that is in use; a rebuilt one stands beside it until the link is
replaced. Every write holds `<root>/writer.lock`, so that nothing is written to a store that was just
replaced.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb

from pipelines.alone import alone
from pipelines.errors import FenceError, StoreError
from pipelines.io.changes import noted
from pipelines.io.lmdb_environment import FENCES, Environment, encoded
from pipelines.io.moment import replaced
from pipelines.io.online_store import KINDS, Changes, OnlineStore, Place, Snapshot, Stats
from pipelines.io.packing import COUNT, PACKED, Packer

if TYPE_CHECKING:
    from pipelines.features.definitions import Definitions

MAP_BYTES = 256 << 20  # the map of a new store; it is doubled whenever it is full
PAGE = 1_000  # records that a scan reads at once
CURRENT = "current"


class LmdbStore(OnlineStore):
    """A store below a folder. Threads may share it; a forked process opens its own."""

    def __init__(
        self,
        root: Path,
        version: str,
        readonly: bool = True,
        definitions: Definitions | None = None,
        *,
        map_bytes: int = MAP_BYTES,
        is_beside: bool = False,
    ) -> None:
        """Open what `current` names, or with `is_beside` a new store that nothing names yet. Records of
        users of these definitions take few bytes. Raises StoreError for a folder without a store, if it is
        only to be read, and for a store of another version."""
        self._root, self._version, self._readonly, self._place = root, version, readonly, str(root)
        self._link = str(root / CURRENT)
        self._is_beside, self._is_held = is_beside, False
        self._environment: Environment | None = None
        self._packer = Packer(definitions)
        self._packs_for: Environment | None = None
        self._lock = threading.RLock()
        if is_beside:
            folder = root / f"store-{uuid.uuid4().hex[:12]}"
            folder.mkdir(parents=True)
            self._environment = Environment.opened(folder, map_bytes, version)
            return
        if not readonly:
            root.mkdir(parents=True, exist_ok=True)
            with self.hold():
                if not (root / CURRENT).is_symlink():
                    with LmdbStore(root, version, False, map_bytes=map_bytes, is_beside=True) as first:
                        first.publish()
        self._used()

    def read(self, keys: Sequence[bytes]) -> Snapshot:
        """See `OnlineStore.read`."""
        with self._reading() as (used, txn):
            return self._found(used, txn, keys, (used.name, used.generation_in(txn)))

    def _found(self, used: Environment, txn: Any, keys: Sequence[bytes], generation: object) -> Snapshot:
        get, kinds = txn.get, used.kinds
        found = [(key, get(key[1:], None, kinds[key[:1]])) for key in keys]
        packer = self._packer_in(used, txn)
        records = {
            key: packer.unpacked(key[:1], record) if key[:1] in PACKED else record
            for key, record in found
            if record is not None
        }
        return Snapshot(records, used.fences_in(txn), generation)

    def read_since(self, generation: object, lacking: Callable[[bytes | None], Sequence[bytes]]) -> Snapshot:
        """See `OnlineStore.read_since`."""
        with self._reading() as (used, txn):
            number, changed = used.generation_in(txn), None
            if isinstance(generation, tuple) and generation[0] == used.name:
                changed = used.changed_in(txn, generation[1], number)
            return self._found(used, txn, lacking(changed), (used.name, number))

    def is_still(self, generation: object) -> bool:
        """See `OnlineStore.is_still`."""
        used = self._environment
        if used is None or not isinstance(generation, tuple):
            return False
        return bool(generation[0] == used.name) and used.moment.is_at(generation[1])

    def fences(self) -> dict[Place, int]:
        """See `OnlineStore.fences`."""
        with self._reading() as (used, txn):
            return used.fences_in(txn)

    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """See `OnlineStore.scan`."""
        kind, begins = prefix[:1], prefix[1:]
        last = after[1:] if after else None
        while True:
            page: list[tuple[bytes, bytes]] = []
            with self._reading() as (used, txn), txn.cursor(used.kinds[kind]) as cursor:
                is_there = cursor.set_range(begins if last is None else last)
                if is_there and last is not None and cursor.key() == last:
                    is_there = cursor.next()
                while is_there and cursor.key().startswith(begins) and len(page) < PAGE:
                    page.append((cursor.key(), cursor.value()))
                    is_there = cursor.next()
                packer = self._packer_in(used, txn)
            yield from ((kind + key, packer.unpacked(kind, value)) for key, value in page)
            if len(page) < PAGE:
                return
            last = page[-1][0]

    def _change(self, records: Changes, fences: Mapping[Place, int], expected: Mapping[Place, int]) -> None:
        """See `OnlineStore.write`."""
        with self._alone(), self._lock:
            used = self._used()
            while True:
                try:
                    self._put(used, records, fences, expected)
                    return
                except lmdb.MapFullError:
                    used.make_room()

    def _put(
        self,
        used: Environment,
        records: Changes,
        fences: Mapping[Place, int],
        expected: Mapping[Place, int],
    ) -> None:
        with used.transaction(write=True) as txn:
            found = used.fences_in(txn)
            if found != dict(expected):
                raise FenceError(f"the fences of {used.path} are {found}, not {dict(expected)} as expected")
            packer = self._packer_in(used, txn)
            before, self._packs_for = packer.count, None  # what it numbers now is only there when written
            for key, record in packer.packed_all(records):
                if record is None:
                    txn.delete(key[1:], db=used.kinds[key[:1]])
                else:
                    txn.put(key[1:], record, db=used.kinds[key[:1]])
            number = used.note_changed(txn, noted(records))
            if packer.count > before:
                for name, block in packer.blocks(before):
                    txn.put(name, block, db=used.meta)
                txn.put(COUNT, b"%d" % packer.count, db=used.meta)
            txn.put(FENCES, encoded({**found, **fences}), db=used.meta)
            used.moment.begin(number)
        used.moment.end(number)
        self._packs_for = used

    def _packer_in(self, used: Environment, txn: Any) -> Packer:
        """The packer, with all numbers that the transaction sees."""
        if self._packs_for is not used:
            self._packer, self._packs_for = self._packer.anew(), used
        count = int(txn.get(COUNT, b"0", used.meta))
        if names := self._packer.lacking(count):
            self._packer.take([txn.get(name, db=used.meta) for name in names])
        return self._packer

    @contextmanager
    def hold(self) -> Iterator[None]:
        """See `OnlineStore.hold`."""
        with alone(self._root / "writer.lock"):
            self._is_held = True
            try:
                yield
            finally:
                self._is_held = False

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """What is beside is written by one process, and what is held by this one."""
        if self._is_beside or self._is_held:
            yield
        else:
            with self.hold():
                yield

    def publish(self) -> None:
        """See `OnlineStore.publish`."""
        assert self._environment is not None
        made, link = self._environment.path, self._root / f"{CURRENT}.{uuid.uuid4().hex[:12]}"
        if not made.is_dir():
            raise StoreError(
                f"{made} is gone: another store was put in place meanwhile; run rebuild_store again"
            )
        link.symlink_to(made.name)
        others = [other for other in self._root.glob("store-*") if other != made]
        for other in others:
            replaced(other)
        os.replace(link, self._link)
        self._is_beside = False
        for other in others:  # renamed first, or who is just opening it would put files into it
            other.rename(other.with_name(f"old-{other.name}"))
        for old in self._root.glob("old-*"):
            shutil.rmtree(old)

    def stats(self) -> Stats:
        """See `OnlineStore.stats`."""
        with self._reading() as (used, txn):
            found = {kind: txn.stat(used.kinds[kind]) for kind in KINDS}
        pages = {
            kind: stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
            for kind, stat in found.items()
        }
        return Stats(
            {KINDS[kind]: stat["entries"] for kind, stat in found.items()},
            {KINDS[kind]: pages[kind] * stat["psize"] for kind, stat in found.items()},
            (used.path / "data.mdb").stat().st_size,
        )

    def close(self) -> None:
        """See `OnlineStore.close`."""
        with self._lock:
            if self._environment is not None:
                self._environment.release()
                self._environment = None

    @contextmanager
    def _reading(self) -> Iterator[tuple[Environment, Any]]:
        with self._lock:
            used = self._used()
            with used.transaction() as txn:
                yield used, txn

    def _used(self) -> Environment:
        """What `current` names now; a store beside is its own."""
        used = self._environment
        if self._is_beside and used is not None:
            return used
        while True:
            try:
                name = os.readlink(self._link)
            except FileNotFoundError:
                raise StoreError(
                    f"no online store in {self._root}: update_online_store makes it (`lakepulse up`, or "
                    "`./spark-submit.sh update_online_store`)"
                ) from None
            if used is not None and used.name == name:
                return used
            self.close()
            try:
                used = self._environment = Environment.opened(self._root / name, 0, self._version)
            except FileNotFoundError:  # replaced since the link was read
                continue
            return used
