"""The online store in a folder of this machine (LMDB): readers in any process never wait, and a crash leaves
what the last transaction left.

`<root>/current` is a link to the store that is in use; a rebuilt one stands beside it until the link is
replaced. Every write holds `<root>/writer.lock`, so that nothing is written to a store that was just
replaced.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import lmdb
import msgspec

from pipelines.errors import FenceError, StoreError
from pipelines.io.online_store import KINDS, OnlineStore, Place, Snapshot, Stats, other_version
from pipelines.io.packing import PACKED, packed, unpacked

MAP_BYTES = 256 << 20  # the map of a new store; it is doubled whenever it is full
PAGE = 1_000  # records that a scan reads at once
CURRENT = "current"
_MOST_READERS = 512
_META, _FENCES = b"meta", b"fences"
_VERSION = b"version"


class LmdbStore(OnlineStore):
    """A store below a folder. Threads may share it; a forked process opens its own."""

    def __init__(
        self,
        root: Path,
        version: str,
        readonly: bool = True,
        *,
        map_bytes: int = MAP_BYTES,
        is_beside: bool = False,
    ) -> None:
        """Open what `current` names, or with `is_beside` a new store that nothing names yet. Raises
        StoreError for a folder without a store, if it is only to be read, and for a store of another
        version."""
        self._root, self._version, self._readonly = root, version, readonly
        self._is_beside, self._is_held = is_beside, False
        self._environment: _Environment | None = None
        self._lock = threading.RLock()
        if is_beside:
            folder = root / f"store-{uuid.uuid4().hex[:12]}"
            folder.mkdir(parents=True)
            self._environment = _Environment.opened(folder, map_bytes, version)
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
            get, kinds = txn.get, used.kinds
            found = [(key, get(key[1:], None, kinds[key[:1]])) for key in keys]
            fences = used.fences_in(txn)
        records = {
            key: unpacked(key[:1], record) if key[:1] in PACKED else record
            for key, record in found
            if record is not None
        }
        return Snapshot(records, fences)

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
            yield from ((kind + key, unpacked(kind, value)) for key, value in page)
            if len(page) < PAGE:
                return
            last = page[-1][0]

    def write(
        self,
        records: Mapping[bytes, bytes | None],
        fences: Mapping[Place, int],
        expected: Mapping[Place, int],
    ) -> None:
        """See `OnlineStore.write`."""
        if self._readonly:
            raise StoreError(f"the online store {self._root} was opened to be read only")
        stored = [
            (key, None if record is None else packed(key[:1], record)) for key, record in records.items()
        ]
        with self._alone(), self._lock:
            used = self._used()
            while True:
                try:
                    self._put(used, stored, fences, expected)
                    return
                except lmdb.MapFullError:
                    used.make_room()

    def _put(
        self,
        used: _Environment,
        stored: list[tuple[bytes, bytes | None]],
        fences: Mapping[Place, int],
        expected: Mapping[Place, int],
    ) -> None:
        with used.transaction(write=True) as txn:
            found = used.fences_in(txn)
            if found != dict(expected):
                raise FenceError(f"the fences of {used.path} are {found}, not {dict(expected)} as expected")
            for key, record in stored:
                if record is None:
                    txn.delete(key[1:], db=used.kinds[key[:1]])
                else:
                    txn.put(key[1:], record, db=used.kinds[key[:1]])
            txn.put(_FENCES, _encoded({**found, **fences}), db=used.meta)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """See `OnlineStore.hold`."""
        with (self._root / "writer.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
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
        os.replace(link, self._root / CURRENT)
        self._is_beside = False
        for other in self._root.glob("store-*"):
            if other != made:  # renamed first, or who is just opening it would put files into it
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
    def _reading(self) -> Iterator[tuple[_Environment, Any]]:
        with self._lock:
            used = self._used()
            with used.transaction() as txn:
                yield used, txn

    def _used(self) -> _Environment:
        """What `current` names now; a store beside is its own."""
        used = self._environment
        if self._is_beside and used is not None:
            return used
        while True:
            try:
                name = os.readlink(self._root / CURRENT)
            except FileNotFoundError:
                raise StoreError(
                    f"no online store in {self._root}: update_online_store makes it (`lakepulse up`, or "
                    "`./spark-submit.sh update_online_store`)"
                ) from None
            if used is not None and used.path.name == name:
                return used
            self.close()
            try:
                used = self._environment = _Environment.opened(self._root / name, 0, self._version)
            except FileNotFoundError:  # replaced since the link was read
                continue
            return used


def _encoded(fences: Mapping[Place, int]) -> bytes:
    return msgspec.json.encode([(*place, offset) for place, offset in fences.items()])


def _broken(path: Path, problem: lmdb.Error) -> StoreError:
    return StoreError(
        f"the online store {path} cannot be used: {problem}; is the disk full, may this user write there? "
        "`./spark-submit.sh rebuild_store` makes a new one"
    )


class _Environment:
    """One LMDB folder, opened once in a process however many stores use it."""

    _open: ClassVar[dict[Path, _Environment]] = {}
    _opening = threading.Lock()

    def __init__(self, path: Path, map_bytes: int) -> None:
        self.path, self._users, self._lock = path, 0, threading.RLock()
        self._lmdb = lmdb.open(
            str(path),
            map_size=map_bytes,
            create=map_bytes > 0,
            max_dbs=len(KINDS) + 1,
            max_readers=_MOST_READERS,
            metasync=False,
        )
        self._lmdb.reader_check()
        names = (_META, *KINDS)
        # In transactions of its own, each: handles would end with a transaction that only reads.
        dbs = {name: self._lmdb.open_db(name, create=map_bytes > 0) for name in names}
        self.meta = dbs[_META]
        self._fences: tuple[bytes, dict[Place, int]] = (b"[]", {})
        self.kinds = {kind: dbs[kind] for kind in KINDS}

    @classmethod
    def opened(cls, path: Path, map_bytes: int, version: str) -> _Environment:
        """The folder, to be given back by `release`: a new one with a map of this size, or one that is there
        for 0. Raises FileNotFoundError when it is gone, StoreError for another version."""
        with cls._opening:
            known = cls._open.get(path)
            if known is None:
                if map_bytes == 0 and not (path / "data.mdb").is_file():
                    raise FileNotFoundError(path)
                try:
                    known = cls._open[path] = _Environment(path, map_bytes)
                except lmdb.Error as problem:
                    if not (path / "data.mdb").is_file():
                        raise FileNotFoundError(path) from problem
                    raise _broken(path, problem) from problem
            known._users += 1
        if map_bytes:
            with known.transaction(write=True) as txn:
                txn.put(_VERSION, version.encode(), db=known.meta)
        with known.transaction() as txn:
            found = (txn.get(_VERSION, db=known.meta) or b"").decode()
        if found != version:
            known.release()
            raise other_version(str(path), found, version)
        return known

    def release(self) -> None:
        """One user less; without any it is closed."""
        with _Environment._opening:
            self._users -= 1
            if self._users == 0:
                del _Environment._open[self.path]
                self._lmdb.close()

    @contextmanager
    def transaction(self, write: bool = False) -> Iterator[Any]:
        """A transaction; one at a time in this process, since the map may only change without any."""
        with self._lock:
            try:
                with self._begun(write) as txn:
                    yield txn
            except lmdb.MapFullError:
                raise
            except lmdb.Error as problem:
                raise _broken(self.path, problem) from problem

    def _begun(self, write: bool) -> Any:
        try:
            return self._lmdb.begin(write=write)
        except lmdb.MapResizedError:  # another process has doubled it
            self._lmdb.set_mapsize(0)
            return self._lmdb.begin(write=write)

    def fences_in(self, txn: Any) -> dict[Place, int]:
        """The fences that the transaction sees."""
        text = txn.get(_FENCES, b"[]", self.meta)
        known, fences = self._fences
        if text != known:
            fences = {(topic, partition): offset for topic, partition, offset in msgspec.json.decode(text)}
            self._fences = (text, fences)
        return dict(fences)

    def make_room(self) -> None:
        """Free what readers that died had kept; where there are none, double the map."""
        with self._lock:
            if self._lmdb.reader_check() == 0:
                self._lmdb.set_mapsize(2 * self._lmdb.info()["map_size"])
